"""Tracking through training clips: cohorts of objects, each with its own memory."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import Sam2VideoModel

from sam2_video.model.frozen import cast_frozen_weights
from sam2_video.model.heads import FrameFeatures
from sam2_video.model.joined import Projections, join_projections
from sam2_video.model.memory import MemoryBank, MemoryEntry, merge_entries
from sam2_video.model.recompute import Recomputed, run_and_keep
from sam2_video.model.tracker import track_frame
from sam2_video.structures import Corrections, FrameOutput, Prompt, send

Given = TypeVar("Given", Prompt, Corrections)


@dataclass(frozen=True)
class Cohort:
    """Objects that share their conditioning frames, and so the layout of their memory.

    On `frames` they are prompted, on `corrected` ones corrected; all of both are conditioning
    frames, but those that are not prompted read memory first.
    """

    objects: tuple[int, ...]
    frames: tuple[int, ...]
    prompts: tuple[Prompt, ...]
    corrected: tuple[int, ...] = ()
    corrections: tuple[Corrections, ...] = ()

    def order(self, end: int) -> list[int]:
        """Return the frames in the order in which they are tracked: prompted ones come first.

        Others are tracked before `end` only.
        """
        later = range(self.frames[0] + 1, end)
        return [*self.frames, *(frame for frame in later if frame not in self.frames)]

    def prompts_on(self, frame: int) -> list[Prompt]:
        """Return the prompts of these objects on a frame: one for each kind."""
        parts = []
        for prompt in self.prompts:
            if prompt.frame == frame:
                rows = [i for i, name in enumerate(prompt.objects) if name in set(self.objects)]
                if rows:
                    parts.append(select_objects(prompt, rows))
        return parts

    def corrections_on(self, frame: int, objects: Sequence[int]) -> Corrections | None:
        """Return the corrections of some of these objects on a frame, in their order."""
        if frame not in self.corrected:
            return None
        (corrections,) = (given for given in self.corrections if given.frame == frame)
        return select_objects(corrections, [corrections.objects.index(name) for name in objects])


def form_cohorts(
    prompts: Sequence[Prompt], corrections: Sequence[Corrections] = ()
) -> list[Cohort]:
    """Group objects by the frames on which they are prompted, and those on which corrected.

    `corrections` has one for each frame.
    """
    prompted: dict[int, set[int]] = defaultdict(set)
    corrected: dict[int, set[int]] = defaultdict(set)
    for given, frames in ((prompts, prompted), (corrections, corrected)):
        for part in given:
            for name in part.objects:
                frames[name].add(part.frame)
    groups: dict[tuple[tuple[int, ...], tuple[int, ...]], list[int]] = defaultdict(list)
    for name, on_frames in sorted(prompted.items()):
        groups[tuple(sorted(on_frames)), tuple(sorted(corrected[name]))].append(name)
    return [
        Cohort(tuple(objects), on_frames, tuple(prompts), corrected_on, tuple(corrections))
        for (on_frames, corrected_on), objects in groups.items()
    ]


def select_objects(given: Given, rows: Sequence[int]) -> Given:
    """Return the prompt, or the corrections, of some of its objects, in the order of `rows`."""
    if list(rows) == list(range(len(given.objects))):
        return given
    values = {name: value for name, value in vars(given).items() if isinstance(value, Tensor)}
    index = send(torch.tensor(rows), next(iter(values.values())).device)
    picked = {name: value[index] for name, value in values.items()}
    return replace(given, objects=tuple(given.objects[row] for row in rows), **picked)


def track_clips(
    network: Sam2VideoModel,
    features: FrameFeatures,
    object_clip: Int[Tensor, " objects"],
    prompts: Sequence[Prompt],
    num_frames: int,
    is_training: bool,
    truncate_after: int | None = None,
    corrections: Sequence[Corrections] = (),
    recomputed: Recomputed = "none",
    last_frames: Sequence[int] | None = None,
) -> list[FrameOutput]:
    """Track every prompted object of a batch of clips from its first prompt to the clip's end.

    Args:
        network: SAM 2.
        features: of all frames of all clips, clip by clip.
        object_clip: the clip of each row of the ragged object axis; on the host, lest it waits.
        prompts: of all objects; an object's frames before its first prompt are not computed.
        num_frames: of every clip.
        is_training: see `track_frame`.
        truncate_after: no gradient flows through memory over more than this many frames.
        corrections: of any of these objects, one for each frame.
        recomputed: what backward computes again.
        last_frames: the last frame of each object of which the output is asked for. A cohort is
            tracked up to the last of them, and prompted wherever prompts are; None = to the end.

    Returns:
        Outputs, each of some objects on one frame; conditioning frames first within a cohort. Of
        objects that are corrected on a frame, the last output of the frame is the final one.
    """
    frames = features.by_frame(num_frames)
    projections = join_projections(network)
    batch = _Batch(network, frames, object_clip.tolist(), is_training, projections, recomputed)
    outputs: list[FrameOutput] = []
    with cast_frozen_weights(network):
        for cohort in form_cohorts(prompts, corrections):
            end = num_frames
            if last_frames is not None:
                end = 1 + max(last_frames[name] for name in cohort.objects)
            outputs += _track_cohort(batch, cohort, end, truncate_after)
    return outputs


@dataclass(frozen=True)
class _Batch:
    """What all steps through a batch of clips share."""

    network: Sam2VideoModel
    frames: list[FrameFeatures]
    object_clip: list[int]
    is_training: bool
    projections: Projections
    recomputed: Recomputed


def _track_cohort(
    batch: _Batch, cohort: Cohort, end: int, truncate_after: int | None
) -> list[FrameOutput]:
    """Track a cohort on the frames before `end`."""
    place = {name: row for row, name in enumerate(cohort.objects)}
    order = cohort.order(end)
    # frames that are prompted read no memory, and come first
    last_reader = len(order) - 1 if len(order) > len(cohort.frames) else 0
    bank, outputs = MemoryBank(), []
    for step, frame in enumerate(order):
        if truncate_after and step and step % truncate_after == 0:
            bank = bank.detach()
        parts, joined = [], []
        for prompt in cohort.prompts_on(frame) or [None]:
            objects = cohort.objects if prompt is None else prompt.objects
            said, entry = _step(
                batch,
                bank,
                frame,
                objects,
                prompt,
                cohort.corrections_on(frame, objects),
                is_memory_needed=step < last_reader,
            )
            outputs += said
            parts.append(entry)
            joined += [place[name] for name in objects]
        bank = bank.append(merge_entries(parts, joined))
    return outputs


def _step(
    batch: _Batch,
    bank: MemoryBank,
    frame: int,
    objects: tuple[int, ...],
    prompt: Prompt | None,
    corrections: Corrections | None,
    *,
    is_memory_needed: bool,
) -> tuple[list[FrameOutput], MemoryEntry]:
    """Track objects that are prompted in one way, or not at all, on one frame."""
    are_frames_recomputed = batch.recomputed == "frames"
    features = batch.frames[frame].seat([batch.object_clip[name] for name in objects])

    def run(_: Tensor) -> tuple[list[FrameOutput], MemoryEntry]:
        return track_frame(
            batch.network,
            features,
            bank,
            frame,
            objects,
            prompt,
            len(batch.frames),
            batch.is_training,
            is_memory_needed=is_memory_needed,
            corrections=corrections,
            projections=batch.projections,
            # within a frame that is computed again nothing needs to be
            recomputed="none" if are_frames_recomputed else batch.recomputed,
        )

    # a tensor among the arguments tells which device's random state is to be kept
    return run_and_keep(not are_frames_recomputed, run, features.embedding)
