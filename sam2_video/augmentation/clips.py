"""Augment a batch of clips: each by what follows from its own seed alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from sam2_video.augmentation.geometry import Geometry, draw_geometry, draw_variant
from sam2_video.augmentation.look import change_look, draw_look
from sam2_video.augmentation.presets import PRESETS, choose_strengths
from sam2_video.augmentation.warp import shows_object, warp_frames, warp_masks
from sam2_video.config import AugmentationConfig
from sam2_video.structures import IGNORE, ClipBatch, ModelClips

STREAM = 1_635_086_189
"""Tells these random numbers from those of the prompts, which follow from the same seed."""


@dataclass(frozen=True)
class _Moved:
    """The objects of a clip after its geometry; `is_shown` where they are labelled and in view."""

    geometry: Geometry
    masks: UInt8[Tensor, "objects frames height width"]
    labelled: Bool[Tensor, "objects frames"]
    is_shown: Bool[Tensor, "objects frames"]


@torch.no_grad()
def augment_clips(clips: ModelClips, batch: ClipBatch, settings: AugmentationConfig) -> ModelClips:
    """Change the frames and masks of clips at random; frames keep their size, objects their rows.

    One geometry a clip. On frames that an object has left it is absent. One that is not in view on
    its prompt frame is prompted where it first is; one that is nowhere in view any more is
    unlabelled throughout, and so out of every loss. A clip that would lose all of its objects is
    only flipped. Clips that were encoded beforehand keep what their variant shows.

    Args:
        clips: At the model's size.
        batch: What they were made from.
        settings: What to change and how much; of encoded clips, no colours.
    """
    strengths = choose_strengths(settings)
    if strengths == PRESETS["off"]:
        return clips
    seeds = [np.random.SeedSequence(seed, spawn_key=(STREAM,)).spawn(2) for seed in clips.seeds]
    geometries = [
        draw_geometry(np.random.default_rng(seed), strengths, (masks.shape[-2], masks.shape[-1]))
        if source.variant is None
        else draw_variant(
            source.video_id, source.variant, strengths, (masks.shape[-2], masks.shape[-1])
        )
        for (seed, _), masks, source in zip(seeds, batch.masks, batch.sources, strict=True)
    ]
    is_fixed = [source.variant is not None for source in batch.sources]
    looks = [draw_look(seed, strengths, batch.num_frames) for _, seed in seeds]
    counts = [len(source.object_ids) for source in batch.sources]
    moved, prompt_frames = _move_objects(clips, counts, geometries, is_fixed)
    pixels = None
    if clips.pixels is not None:
        changed = [
            change_look(look, warp_frames(one.geometry, frames))
            for one, look, frames in zip(moved, looks, clips.pixels, strict=True)
        ]
        pixels = torch.stack(changed)
    return replace(
        clips,
        pixels=pixels,
        targets=torch.cat([one.masks for one in moved]),
        labelled=torch.cat([one.labelled for one in moved]),
        prompt_frames=prompt_frames,
    )


def _move_objects(
    clips: ModelClips,
    counts: Sequence[int],
    geometries: Sequence[Geometry],
    is_fixed: Sequence[bool],
) -> tuple[list[_Moved], tuple[int, ...]]:
    """Move the objects of all clips, of which there are `counts`, and say where to prompt them.

    A fixed geometry is that of frames that were encoded with it, and stays.
    """
    given = list(zip(clips.targets.split(counts), clips.labelled.split(counts), strict=True))
    moved = [_move(geometry, *one) for geometry, one in zip(geometries, given, strict=True)]
    is_shown = torch.cat([one.is_shown for one in moved]).tolist()
    prompt_frames = list(clips.prompt_frames)
    end = 0
    for number, geometry in enumerate(geometries):
        first, end = end, end + counts[number]
        if geometry.to_source is None:
            continue
        if not any(any(row) for row in is_shown[first:end]) and not is_fixed[number]:
            moved[number] = _move(geometry.flips_only, *given[number])
            continue
        for row in range(first, end):
            prompt_frames[row] = _prompt_frame(is_shown[row], prompt_frames[row])
    return moved, tuple(prompt_frames)


def keeps_an_object(
    geometry: Geometry,
    masks: UInt8[Tensor, "objects frames height width"],
    labelled: Bool[Tensor, "objects frames"],
) -> bool:
    """Say whether a geometry leaves any object of a clip in view, where it is labelled."""
    return geometry.to_source is None or bool(_move(geometry, masks, labelled).is_shown.any())


def _prompt_frame(is_shown: Sequence[bool], before: int) -> int:
    """Return the frame on which to prompt an object: the first that shows it, if any does."""
    return before if is_shown[before] or not any(is_shown) else is_shown.index(True)


def _move(
    geometry: Geometry,
    masks: UInt8[Tensor, "objects frames height width"],
    labelled: Bool[Tensor, "objects frames"],
) -> _Moved:
    """Move the objects of one clip, and unlabel what cannot be known of them any more."""
    moved, inside = warp_masks(geometry, masks)
    is_present = shows_object(moved)
    if geometry.to_source is None:
        return _Moved(geometry, moved, labelled, labelled & is_present)
    # what is left in view of an object, or all that is, may be an ignored region: not "absent"
    is_ignored = moved == IGNORE
    is_open = is_ignored.flatten(2).any(-1) & shows_object(masks)
    is_known = (inside & ~is_ignored).flatten(2).any(-1)
    labelled = labelled & (is_present | (is_known & ~is_open))
    is_shown = labelled & is_present
    return _Moved(geometry, moved, labelled & is_shown.any(1, keepdim=True), is_shown)
