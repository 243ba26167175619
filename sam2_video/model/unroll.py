"""Tracking through training clips: cohorts of objects, each with its own memory."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import Sam2VideoModel

from sam2_video.model.heads import FrameFeatures
from sam2_video.model.memory import MemoryBank, merge_entries
from sam2_video.model.tracker import image_rows, track_frame
from sam2_video.structures import FrameOutput, Prompt


@dataclass(frozen=True)
class Cohort:
    """Objects that share their conditioning frames, and so the layout of their memory."""

    objects: tuple[int, ...]
    frames: tuple[int, ...]
    prompts: tuple[Prompt, ...]

    def prompts_on(self, frame: int) -> list[Prompt]:
        """Return the prompts of these objects on a frame: one for each kind."""
        parts = []
        for prompt in self.prompts:
            if prompt.frame == frame:
                rows = [i for i, name in enumerate(prompt.objects) if name in set(self.objects)]
                if rows:
                    parts.append(select_objects(prompt, rows))
        return parts


def form_cohorts(prompts: Sequence[Prompt]) -> list[Cohort]:
    """Group objects by the frames on which they are prompted."""
    frames: dict[int, set[int]] = defaultdict(set)
    for prompt in prompts:
        for name in prompt.objects:
            frames[name].add(prompt.frame)
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for name, on_frames in sorted(frames.items()):
        groups[tuple(sorted(on_frames))].append(name)
    return [
        Cohort(tuple(objects), on_frames, tuple(prompts)) for on_frames, objects in groups.items()
    ]


def select_objects(prompt: Prompt, rows: Sequence[int]) -> Prompt:
    """Return the prompt of some of its objects."""
    if len(rows) == len(prompt.objects):
        return prompt
    index = list(rows)
    return replace(
        prompt,
        objects=tuple(prompt.objects[row] for row in index),
        masks=None if prompt.masks is None else prompt.masks[index],
        points=None if prompt.points is None else prompt.points[index],
        labels=None if prompt.labels is None else prompt.labels[index],
    )


def track_clips(
    network: Sam2VideoModel,
    features: FrameFeatures,
    object_clip: Int[Tensor, " objects"],
    prompts: Sequence[Prompt],
    num_frames: int,
    is_training: bool,
    truncate_after: int | None = None,
) -> list[FrameOutput]:
    """Track every prompted object of a batch of clips from its first prompt to the clip's end.

    Args:
        network: SAM 2.
        features: of all frames of all clips, clip by clip.
        object_clip: the clip of each row of the ragged object axis.
        prompts: of all objects; an object's frames before its first prompt are not computed.
        num_frames: of every clip.
        is_training: see `track_frame`.
        truncate_after: no gradient flows through memory over more than this many frames.

    Returns:
        Outputs, each of some objects on one frame; conditioning frames first within a cohort.
    """
    outputs: list[FrameOutput] = []
    for cohort in form_cohorts(prompts):
        outputs += _track_cohort(
            network, features, object_clip, cohort, num_frames, is_training, truncate_after
        )
    return outputs


def _track_cohort(
    network: Sam2VideoModel,
    features: FrameFeatures,
    object_clip: Tensor,
    cohort: Cohort,
    num_frames: int,
    is_training: bool,
    truncate_after: int | None,
) -> list[FrameOutput]:
    first = cohort.frames[0]
    order = list(cohort.frames)
    order += [frame for frame in range(first + 1, num_frames) if frame not in cohort.frames]
    clips = object_clip[torch.tensor(cohort.objects, device=object_clip.device)]
    place = {name: row for row, name in enumerate(cohort.objects)}
    bank, outputs = MemoryBank(), []
    for step, frame in enumerate(order):
        if truncate_after and step and step % truncate_after == 0:
            bank = bank.detach()
        parts, joined = [], []
        for prompt in cohort.prompts_on(frame) or [None]:
            objects = cohort.objects if prompt is None else prompt.objects
            rows = torch.tensor([place[name] for name in objects], device=clips.device)
            output, entry = track_frame(
                network,
                features.select(image_rows(clips[rows], frame, num_frames)),
                bank,
                frame,
                objects,
                prompt,
                num_frames,
                is_training,
                is_memory_needed=step < len(order) - 1,
            )
            outputs.append(output)
            parts.append(entry)
            joined.append(rows)
        bank = bank.append(merge_entries(parts, torch.cat(joined).argsort()))
    return outputs
