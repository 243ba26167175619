"""What training minimises: from a batch of clips to prompts, to tracking, to the loss."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from operator import add

import torch
from jaxtyping import Float
from torch import Tensor
from torch import distributed as dist
from torch.utils.checkpoint import checkpoint

from sam2_video.augmentation import augment_clips
from sam2_video.config import AugmentationConfig, LossConfig, PromptConfig
from sam2_video.data.transforms import prepare_clips
from sam2_video.losses import ClipLoss, LossSums, sum_terms, weigh_sums
from sam2_video.model.heads import FrameFeatures
from sam2_video.model.heap import keep_freed_blocks, put_into_large_pages
from sam2_video.model.recompute import SAVING, Recomputed
from sam2_video.model.sam2 import SAM2Model
from sam2_video.prompts import simulate_user
from sam2_video.structures import ClipBatch, Corrections, ModelClips, Prompt
from sam2_video.training.out_of_memory import compute_together
from sam2_video.training.parts import ClipGroup, Part, divide
from sam2_video.training.values import (
    has_several_processes,
    predicted_similarity,
    sum_over_processes,
)


@dataclass(frozen=True)
class Lesson:
    """A batch as the network is shown it: resized clips, and what a simulated user says of them."""

    clips: ModelClips
    prompts: tuple[Prompt, ...]
    corrections: tuple[Corrections, ...] = ()
    last_frames: tuple[int, ...] | None = None
    """Of each object the last frame that says something of it."""


def draw_lesson(
    batch: ClipBatch,
    image_size: tuple[int, int],
    settings: PromptConfig,
    augmentation: AugmentationConfig | None = None,
) -> Lesson:
    """Prepare a batch for the network; all that is random follows from the clips' seeds."""
    clips = prepare_clips(batch, image_size)
    if augmentation is not None:
        # before the prompts, which are drawn from what is then to be seen
        clips = augment_clips(clips, batch, augmentation)
    object_clip = [index for index, source in enumerate(batch.sources) for _ in source.object_ids]
    said = simulate_user(clips, object_clip, settings)
    # kept by the host, which would wait for what the device has of it
    clips = replace(clips, object_clip=torch.tensor(object_clip))
    return Lesson(clips, said.prompts, said.corrections, batch.find_last_frames())


@dataclass(frozen=True)
class Learned:
    """The loss of a batch, and the sum and number of `predicted_similarity`."""

    loss: ClipLoss
    similarity: Float[Tensor, ""]
    num_similarities: Float[Tensor, ""]


def learn_from(
    model: SAM2Model,
    lesson: Lesson,
    losses: LossConfig,
    truncate_memory_gradient: int | None = None,
    clips_at_once: int | None = None,
    objects_at_once: int | None = None,
    activation_checkpointing: Recomputed = "none",
) -> Learned:
    """Track the objects of a lesson and compute the loss over all processes' clips.

    In several parts, each is tracked twice: now, when only its sums of losses are kept, and in
    the backward pass, when the graph of one part at a time exists. The sums, and so the gradient,
    are those of all objects together (dropout alone draws other numbers for other parts).
    """
    clips = lesson.clips
    if clips_at_once is None and objects_at_once is None:
        groups = [ClipGroup(0, len(clips.seeds), (Part(0, clips.targets.shape[0]),))]
    else:
        num_objects = clips.object_clip.bincount(minlength=len(clips.seeds)).tolist()
        groups = divide(num_objects, clips_at_once, objects_at_once)
    found = compute_together(
        partial(
            _track_groups,
            model,
            lesson,
            groups,
            losses,
            truncate_memory_gradient,
            activation_checkpointing,
        ),
        clips.targets.device,
    )
    added, similarities, numbers = zip(*found, strict=True)
    is_joint = has_several_processes()
    loss = weigh_sums(
        reduce(add, added),
        clips.targets.shape[0],
        losses,
        reduce_count=sum_over_processes if is_joint else None,
        world_size=dist.get_world_size() if is_joint else 1,
    )
    return Learned(loss, torch.stack(similarities).sum(), torch.stack(numbers).sum())


def _track_groups(
    model: SAM2Model,
    lesson: Lesson,
    groups: Sequence[ClipGroup],
    losses: LossConfig,
    truncate_memory_gradient: int | None,
    activation_checkpointing: Recomputed,
) -> list[tuple[LossSums, Tensor, Tensor]]:
    """Encode and track all parts of a lesson; return what is said of each."""
    clips = lesson.clips
    is_divided = sum(len(group.parts) for group in groups) > 1
    are_frames_recomputed = is_divided or activation_checkpointing == "frames"
    if clips.targets.device.type == "cpu":
        keep_freed_blocks()
        # who is short of memory wants no page that is larger than need be
        if activation_checkpointing not in SAVING:
            put_into_large_pages()
    encode = _encode_twice if are_frames_recomputed else SAM2Model.encode
    track = partial(checkpoint, _track, use_reentrant=False) if is_divided else _track
    found = []
    for group in groups:
        if clips.levels is not None:
            features = model.features_from(clips.levels.change(partial(_take, clips, group)))
        else:
            assert clips.pixels is not None
            features = encode(model, clips.pixels[group.first : group.end].flatten(0, 1))
        found += [
            track(
                # checkpointing looks among its arguments for the device of the random state
                features.embedding,
                model,
                features,
                lesson,
                group,
                part,
                losses,
                truncate_memory_gradient,
                activation_checkpointing,
            )
            for part in group.parts
        ]
    return found


def _take(clips: ModelClips, group: ClipGroup, of_frames: Tensor) -> Tensor:
    """Return of what is said of all clips' frames that of a group's."""
    num_frames = clips.labelled.shape[1]
    return of_frames[group.first * num_frames : group.end * num_frames]


def _encode_twice(
    model: SAM2Model, pixels: Float[Tensor, "images 3 height width"]
) -> FrameFeatures:
    """Encode frames; one that learns keeps nothing for the backward pass, and goes frame by frame.

    An encoder that learns nothing keeps nothing anyway, and runs once.
    """
    if not model.is_encoder_learning:
        return model.encode(pixels)
    frames = [checkpoint(model.encode, image, use_reentrant=False) for image in pixels.split(1)]
    return FrameFeatures(
        torch.cat([frame.embedding for frame in frames]),
        torch.cat([frame.half for frame in frames]),
        torch.cat([frame.quarter for frame in frames]),
    )


def _track(
    _: Tensor,
    model: SAM2Model,
    features: FrameFeatures,
    lesson: Lesson,
    group: ClipGroup,
    part: Part,
    losses: LossConfig,
    truncate_memory_gradient: int | None,
    activation_checkpointing: Recomputed,
) -> tuple[LossSums, Tensor, Tensor]:
    """Track one part of a lesson and add up what is said of it."""
    clips, rows = lesson.clips, slice(part.first, part.end)
    own = replace(
        clips,
        pixels=None if clips.pixels is None else clips.pixels[group.first : group.end],
        levels=None,
        targets=clips.targets[rows],
        labelled=clips.labelled[rows],
        # among the clips of the group
        object_clip=clips.object_clip[rows] - group.first,
        prompt_frames=clips.prompt_frames[rows],
        seeds=clips.seeds[group.first : group.end],
    )
    outputs = model.track_encoded(
        features,
        own.object_clip,
        part.take(lesson.prompts),
        own.labelled.shape[1],
        truncate_memory_gradient,
        part.take(lesson.corrections),
        activation_checkpointing,
        None if lesson.last_frames is None else lesson.last_frames[rows],
    )
    added = sum_terms(outputs, own.targets, own.labelled, losses)
    return added, *predicted_similarity(outputs, own)
