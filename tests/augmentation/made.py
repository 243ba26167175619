"""Clips that are easy to follow: a disc that stands out on ImageNet's mean colour."""

import torch
from torch.nn import functional as F

from sam2_video.data.collate import collate_clips
from sam2_video.data.transforms import prepare_clips
from sam2_video.structures import Clip

BRIGHT, DARK = 220, 116


def disc(size, centre, radius):
    rows, columns = torch.meshgrid(*(torch.arange(side) for side in size), indexing="ij")
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2


def make_clip(seed=1, size=(64, 96), num_frames=3, centres=((30, 40),), radius=9):
    """Objects that move two pixels a frame to the right, each bright where it is."""
    masks = torch.stack(
        [
            torch.stack([disc(size, (y, x + 2 * t), radius) for t in range(num_frames)])
            for y, x in centres
        ]
    )
    frames = torch.full((num_frames, 3, *size), DARK, dtype=torch.uint8)
    frames.masked_fill_(masks.any(0)[:, None], BRIGHT)
    return Clip(
        video_id=f"video {seed}",
        frame_names=tuple(f"{t}.jpg" for t in range(num_frames)),
        frames=frames,
        masks=masks.byte(),
        labelled=torch.ones(masks.shape[:2], dtype=torch.bool),
        object_ids=tuple(range(1, len(centres) + 1)),
        prompt_frames=(0,) * len(centres),
        seed=seed,
    )


def prepare(*clips, size=(64, 96)):
    batch = collate_clips(clips)
    return prepare_clips(batch, size), batch


def grown(masks):
    """Masks with all their neighbours."""
    return F.max_pool2d(masks.float(), 3, stride=1, padding=1) > 0


def disagrees(masks, seen):
    """Whether two outlines are anywhere more than a pixel apart."""
    return bool(((seen & ~grown(masks)) | (~seen & ~grown(~masks))).any())
