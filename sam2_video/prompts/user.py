"""Simulate the user of a batch of clips: what is shown where, and which frames are corrected.

An object whose mask is empty on its first frame (nearest resizing can lose a tiny one) has no point
to show, and its mask prompt is empty, which SAM 2 reads as absent. Its target is empty too, so that
is what it is taught.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from sam2_video.config import PromptConfig
from sam2_video.prompts.plan import draw_box_or_point, draw_plan
from sam2_video.prompts.showing import Showing, draw_kind, draw_showing, pick, show
from sam2_video.structures import IGNORE, OBJECT, Corrections, ModelClips, Prompt, PromptKind, send

PLAN_KEY = 1
"""Spawns a clip's second generator: what it draws leaves the first prompts as they are."""


@dataclass(frozen=True)
class UserInput:
    """What a simulated user says of a batch: prompts, and how predictions are corrected."""

    prompts: tuple[Prompt, ...]
    corrections: tuple[Corrections, ...] = ()


@dataclass(frozen=True)
class _Objects:
    """What the host knows of the objects of one clip.

    `is_known` where the frame says something of the object, `is_visible` where it shows it.
    """

    rows: tuple[int, ...]
    first_frames: tuple[int, ...]
    is_known: Bool[np.ndarray, "objects frames"]
    is_visible: Bool[np.ndarray, "objects frames"]

    def frames_to_come(self) -> list[int]:
        """Return the frames that say something of an object which was shown before."""
        is_later = np.arange(self.is_known.shape[1]) > np.array(self.first_frames)[:, None]
        return np.flatnonzero((self.is_known & is_later).any(0)).tolist()


@dataclass(frozen=True)
class _Correction:
    """One object to be corrected on one frame: a place, and a coin, for each click."""

    row: int
    frame: int
    numbers: np.ndarray


def draw_prompts(
    targets: UInt8[Tensor, "objects frames height width"],
    prompt_frames: tuple[int, ...],
    object_clip: Sequence[int],
    seeds: tuple[int, ...],
    settings: PromptConfig,
) -> tuple[Prompt, ...]:
    """Draw every object's prompt on its prompt frame alone; one kind for all objects of a clip.

    A clip's prompts depend on its seed and its own objects alone, and are the same on every
    device: random numbers are drawn on the host, and nothing waits for the device.

    Raises:
        ValueError: if the probabilities of the kinds are negative or all 0.
    """
    generators = [np.random.default_rng(seed) for seed in seeds]
    kinds = [draw_kind(generator, settings) for generator in generators]
    showings = [
        draw_showing(row, frame, kinds[clip], generators[clip], settings)
        for row, (clip, frame) in enumerate(zip(object_clip, prompt_frames, strict=True))
    ]
    return show(showings, targets, settings.box_noise)


def simulate_user(
    clips: ModelClips, object_clip: Sequence[int], settings: PromptConfig
) -> UserInput:
    """Draw prompts and corrections for a batch of clips, as Meta's training does.

    The first prompts are those of `draw_prompts`, except in a clip that a mask prompt would leave
    nothing to predict in: there, as in Meta's training on images, it is a box or a point. Where
    more is drawn than first prompts, the host waits once for the device, to learn which frame
    shows which object; random numbers depend on a clip's seed and its own objects alone.

    Args:
        clips: resized, on any device.
        object_clip: the clip of each object, known to the host.
        settings: of the prompts.

    Raises:
        ValueError: if the probabilities of the kinds are negative or all 0.
    """
    if settings.conditioning_frames == 1 and settings.corrected_frames == 0:
        return UserInput(
            draw_prompts(clips.targets, clips.prompt_frames, object_clip, clips.seeds, settings)
        )
    showings: list[Showing] = []
    corrections: list[_Correction] = []
    for objects, seed in zip(_look(clips, object_clip), clips.seeds, strict=True):
        shown, corrected = _simulate_clip(objects, seed, settings)
        showings += shown
        corrections += corrected
    by_frame: dict[int, list[_Correction]] = defaultdict(list)
    for correction in sorted(corrections, key=lambda correction: correction.frame):
        by_frame[correction.frame].append(correction)
    return UserInput(
        show(showings, clips.targets, settings.box_noise),
        tuple(
            _correct(group, clips.targets, settings.sample_from_truth)
            for group in by_frame.values()
        ),
    )


def _look(clips: ModelClips, object_clip: Sequence[int]) -> Iterator[_Objects]:
    """Tell, clip by clip, which frames show which object; waits for the device."""
    is_known = clips.labelled & (clips.targets != IGNORE).flatten(2).any(-1)
    is_visible = is_known & (clips.targets == OBJECT).flatten(2).any(-1)
    known, visible = torch.stack((is_known, is_visible)).cpu().numpy()
    for clip in range(len(clips.seeds)):
        rows = tuple(row for row, of_clip in enumerate(object_clip) if of_clip == clip)
        first_frames = tuple(clips.prompt_frames[row] for row in rows)
        index = list(rows)
        yield _Objects(rows, first_frames, known[index], visible[index])


def _simulate_clip(
    objects: _Objects, seed: int, settings: PromptConfig
) -> tuple[list[Showing], list[_Correction]]:
    """Draw what is shown and corrected in one clip."""
    generator = np.random.default_rng(seed)
    further = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(PLAN_KEY,)))
    kind = draw_kind(generator, settings)
    candidates = objects.frames_to_come()
    if kind is PromptKind.MASK and not candidates and settings.box + settings.point > 0:
        kind = draw_box_or_point(further, settings)
    plan = draw_plan(further, candidates, kind, settings)
    showings: list[Showing] = []
    corrections: list[_Correction] = []
    for index, row in enumerate(objects.rows):
        first = draw_showing(row, objects.first_frames[index], kind, generator, settings)
        # numbers are drawn for all frames, so that they depend on no object's visibility
        again = [draw_showing(row, *showing, further, settings) for showing in plan.shown]
        shown = [first, *(showing for showing in again if _can_show(objects, index, showing))]
        showings += shown
        num_frames = 1 + len(plan.shown) + len(plan.corrected)
        numbers = further.random((num_frames, settings.correction_clicks, 2), dtype=np.float32)
        frames = [showing.frame for showing in shown][: plan.num_corrected]
        frames += [frame for frame in plan.corrected if frame > first.frame]
        corrections += [
            _Correction(row, frame, numbers[number])
            for number, frame in enumerate(frames)
            if objects.is_known[index, frame]
        ]
    return showings, corrections


def _can_show(objects: _Objects, index: int, showing: Showing) -> bool:
    """Say whether the object may be shown once more here.

    By mask also where it is absent: the mask is empty, and SAM 2 reads that as absent. A box or a
    point of it there would be a lie.
    """
    if showing.frame <= objects.first_frames[index]:
        return False
    if showing.kind is PromptKind.MASK:
        return bool(objects.is_known[index, showing.frame])
    return bool(objects.is_visible[index, showing.frame])


def _correct(
    group: Sequence[_Correction],
    targets: UInt8[Tensor, "objects frames height width"],
    share_from_truth: float,
) -> Corrections:
    """Return the corrections of all objects that are corrected on one frame."""
    frame, rows = group[0].frame, tuple(correction.row for correction in group)
    numbers = torch.from_numpy(np.stack([correction.numbers for correction in group]))
    places, coins = send(numbers, targets.device).unbind(-1)
    return Corrections(frame, rows, pick(targets[:, frame], rows), places, coins < share_from_truth)
