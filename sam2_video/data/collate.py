"""Put clips of different sizes, lengths and numbers of objects into one ragged batch."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from sam2_video.structures import Clip, ClipBatch, ClipSource, FrameLevels


def collate_clips(clips: Sequence[Clip]) -> ClipBatch:
    """Join clips; a shorter one is padded by its last frame, unlabelled (no loss, no score)."""
    length = max(clip.frames.shape[0] for clip in clips)
    levels = [
        clip.levels.change(partial(_repeat_last, length=length, dim=0))
        for clip in clips
        if clip.levels is not None
    ]
    assert len(levels) in (0, len(clips)), "all clips are encoded beforehand, or none"
    num_objects = torch.tensor([len(clip.object_ids) for clip in clips])
    labelled = [
        torch.cat([clip.labelled, clip.labelled.new_zeros(len(clip.object_ids), missing)], dim=1)
        for clip in clips
        for missing in [length - clip.frames.shape[0]]
    ]
    return ClipBatch(
        frames=tuple(_repeat_last(clip.frames, length, dim=0) for clip in clips),
        masks=tuple(_repeat_last(clip.masks, length, dim=1) for clip in clips),
        labelled=torch.cat(labelled),
        object_clip=torch.repeat_interleave(torch.arange(len(clips)), num_objects),
        prompt_frames=tuple(frame for clip in clips for frame in clip.prompt_frames),
        sources=tuple(
            ClipSource(
                clip.video_id,
                clip.frame_names,
                clip.object_ids,
                clip.seed,
                clip.variant,
                clip.skipped,
            )
            for clip in clips
        ),
        levels=FrameLevels.join(levels) if levels else None,
    )


def _repeat_last(values: Tensor, length: int, dim: int) -> Tensor:
    missing = length - values.shape[dim]
    last = values.narrow(dim, values.shape[dim] - 1, 1)
    # keeps the order in memory, on which the last bits of what is computed from levels depend
    return torch.cat([values, *[last] * missing], dim=dim) if missing else values
