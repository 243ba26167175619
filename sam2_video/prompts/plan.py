"""On which frames of a clip objects are shown again, and on which they are corrected."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sam2_video.config import PromptConfig
from sam2_video.structures import PromptKind


@dataclass(frozen=True)
class Plan:
    """Frames of a clip beside its objects' first ones, in the order drawn.

    `shown` are further initial conditioning frames, with the kind of their prompts, and
    `corrected` further corrected frames. Of the frames on which an object is shown, its first and
    these, `num_corrected` are corrected as well.
    """

    shown: tuple[tuple[int, PromptKind], ...] = ()
    corrected: tuple[int, ...] = ()
    num_corrected: int = 0


def draw_plan(
    generator: np.random.Generator,
    candidates: Sequence[int],
    kind: PromptKind,
    settings: PromptConfig,
) -> Plan:
    """Draw a clip's plan as Meta's `prepare_prompt_inputs` does.

    1 to `conditioning_frames` frames are shown. In clips shown by box or point all of these and
    further ones are corrected, so that there are at most `corrected_frames`; in clips shown by
    mask none is. A further frame is shown by box or by point, whatever the first.

    Args:
        generator: of this clip's plan.
        candidates: the frames to choose from; where they are few, less is drawn.
        kind: of the clip's prompts.
        settings: of the prompts.
    """
    num_shown = int(generator.integers(1, settings.conditioning_frames, endpoint=True))
    num_corrected = settings.corrected_frames if settings.correction_clicks else 0
    if num_corrected > num_shown:
        num_corrected = int(generator.integers(num_shown, num_corrected, endpoint=True))
    order = [int(frame) for frame in generator.permutation(np.array(candidates, dtype=np.int64))]
    shown, further = order[: num_shown - 1], order[num_shown - 1 :]
    kinds = [
        kind if kind is PromptKind.MASK else draw_box_or_point(generator, settings) for _ in shown
    ]
    if kind is PromptKind.MASK:
        num_corrected = 0
    return Plan(
        tuple(zip(shown, kinds, strict=True)),
        tuple(further[: max(num_corrected - num_shown, 0)]),
        num_corrected,
    )


def draw_box_or_point(generator: np.random.Generator, settings: PromptConfig) -> PromptKind:
    """Draw one of the two by their shares."""
    is_box = generator.random() * (settings.box + settings.point) < settings.box
    return PromptKind.BOX if is_box else PromptKind.POINT
