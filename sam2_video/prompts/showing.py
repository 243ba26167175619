"""Objects shown on frames by random prompts: which kind, from which numbers, and the prompts."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from sam2_video.config import PromptConfig
from sam2_video.prompts.points import noisy_boxes, uniform_points
from sam2_video.structures import OBJECT, Prompt, PromptKind, send


@dataclass(frozen=True)
class Showing:
    """One object to be shown on one frame; the prompt follows from the numbers and the mask.

    `row` is the object's on the ragged axis.
    """

    row: int
    frame: int
    kind: PromptKind
    numbers: np.ndarray


def draw_showing(
    row: int, frame: int, kind: PromptKind, generator: np.random.Generator, settings: PromptConfig
) -> Showing:
    """Draw the numbers that a prompt of this kind takes."""
    count = {PromptKind.MASK: 0, PromptKind.BOX: 4, PromptKind.POINT: settings.num_points}[kind]
    return Showing(row, frame, kind, generator.random(count, dtype=np.float32))


def draw_kind(generator: np.random.Generator, settings: PromptConfig) -> PromptKind:
    """Draw the kind of a clip's prompts.

    Raises:
        ValueError: if the probabilities of the kinds are negative or all 0.
    """
    return tuple(PromptKind)[generator.choice(len(PromptKind), p=_probabilities(settings))]


def show(
    showings: Iterable[Showing],
    targets: UInt8[Tensor, "objects frames height width"],
    box_noise: float,
) -> tuple[Prompt, ...]:
    """Turn showings into prompts, one for each frame and kind."""
    groups: dict[tuple[int, PromptKind], list[Showing]] = defaultdict(list)
    for showing in showings:
        groups[showing.frame, showing.kind].append(showing)
    return tuple(_show(group, targets, box_noise) for _, group in sorted(groups.items()))


def pick(
    frame_targets: UInt8[Tensor, "_objects height width"], rows: Sequence[int]
) -> UInt8[Tensor, "objects height width"]:
    """Return the rows of some objects."""
    return frame_targets[send(torch.tensor(rows), frame_targets.device)]


def _show(
    group: Sequence[Showing], targets: UInt8[Tensor, "objects frames height width"], noise: float
) -> Prompt:
    """Return the prompt of objects that are shown on one frame in one way."""
    frame, kind = group[0].frame, group[0].kind
    rows = tuple(showing.row for showing in group)
    is_object = pick(targets[:, frame], rows) == OBJECT
    if kind is PromptKind.MASK:
        return Prompt(frame, rows, masks=is_object.float())
    numbers = torch.from_numpy(np.stack([showing.numbers for showing in group]))
    numbers = send(numbers, targets.device)
    if kind is PromptKind.BOX:
        points, labels = noisy_boxes(is_object, numbers, noise)
    else:
        points, labels = uniform_points(is_object, numbers)
    return Prompt(frame, rows, points=points, labels=labels)


def _probabilities(settings: PromptConfig) -> np.ndarray:
    """Return the probability of each kind, in the order of `PromptKind`."""
    shares = np.array([settings.mask, settings.box, settings.point])
    if shares.min() < 0 or shares.sum() <= 0:
        raise ValueError(
            f"prompts: mask, box and point are shares of the clips, got {shares.tolist()}; "
            f"expected numbers of at least 0, one of them above 0"
        )
    return shares / shares.sum()
