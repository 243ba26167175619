"""Bring a decoded batch to the model's size and scale, on the device where it lies."""

import torch

from sam2_video.masks import resize_masks
from sam2_video.pixels import prepare_frames
from sam2_video.structures import ClipBatch, ModelClips


def prepare_clips(batch: ClipBatch, image_size: tuple[int, int]) -> ModelClips:
    """Resize and normalise the frames of a batch, and resize its masks by nearest neighbour.

    Frames that were encoded beforehand stay as they are.
    """
    pixels = None
    if batch.levels is None:
        pixels = torch.stack([prepare_frames(frames, image_size) for frames in batch.frames])
    return ModelClips(
        pixels=pixels,
        targets=torch.cat([resize_masks(masks, image_size) for masks in batch.masks]),
        labelled=batch.labelled,
        object_clip=batch.object_clip,
        prompt_frames=batch.prompt_frames,
        seeds=tuple(source.seed for source in batch.sources),
        levels=batch.levels,
    )
