"""Clips of videos as a torch data set whose items are named by (epoch, index)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from sam2_video.data.sampling import ClipPlan, ClipSettings, draw_clip
from sam2_video.data.video import Video
from sam2_video.structures import OBJECT, Clip


def split_videos(
    videos: Sequence[Video], fraction: float, seed: int
) -> tuple[tuple[Video, ...], tuple[Video, ...]]:
    """Split videos into training and validation, whole videos, at least one on each side."""
    if fraction == 0:
        return tuple(videos), ()
    if len(videos) < 2:
        raise ValueError(
            f"dataset.val_fraction is {fraction} but there is {len(videos)} video with objects, "
            "which cannot be split; give dataset.val_path, or set dataset.val_fraction to 0"
        )
    count = min(max(round(fraction * len(videos)), 1), len(videos) - 1)
    held_out = set(np.random.default_rng([seed, len(videos)]).permutation(len(videos))[:count])
    train = tuple(video for i, video in enumerate(videos) if i not in held_out)
    validation = tuple(video for i, video in enumerate(videos) if i in held_out)
    return train, validation


def read_clip(video: Video, plan: ClipPlan, decode_size: tuple[int, int] | None = None) -> Clip:
    """Read the frames and the chosen objects of a clip; a frame that comes twice is read once.

    Args:
        video: The video.
        plan: Frames and objects.
        decode_size: Height and width at which frames are used: decoding may stop near it.
    """
    frames = {i: video.read_frame(i, decode_size) for i in set(plan.frames)}
    empty = torch.zeros((len(plan.object_ids), *video.size), dtype=torch.uint8)
    masks = {
        i: video.read_masks(i, plan.object_ids) if video.is_labelled(i) else empty for i in frames
    }
    labelled = [[video.is_labelled(i, o) for i in plan.frames] for o in plan.object_ids]
    clip_masks = torch.stack([masks[i] for i in plan.frames], dim=1)
    visible = (clip_masks == OBJECT).flatten(2).any(-1)
    assert bool(visible.any(1).all()), f"{video.video_id}: a planned object is nowhere visible"
    return Clip(
        video_id=video.video_id,
        frame_names=tuple(video.frame_names[i] for i in plan.frames),
        frames=torch.stack([frames[i] for i in plan.frames]),
        masks=clip_masks,
        labelled=torch.tensor(labelled),
        object_ids=plan.object_ids,
        prompt_frames=tuple(visible.int().argmax(1).tolist()),
        seed=plan.seed,
    )


class ClipDataset(Dataset[Clip]):
    """Training clips: the clip at (epoch, index) depends on these, the seed and the data only."""

    def __init__(
        self,
        videos: Sequence[Video],
        settings: ClipSettings,
        seed: int,
        clips_per_video: int = 1,
        decode_size: tuple[int, int] | None = None,
    ) -> None:
        self.videos = tuple(videos)
        self.settings = settings
        self.seed = seed
        self.clips_per_video = clips_per_video
        self.decode_size = decode_size

    def __len__(self) -> int:
        """Return the number of clips of an epoch."""
        return len(self.videos) * self.clips_per_video

    def __getitem__(self, key: tuple[int, int]) -> Clip:
        """Draw and read the clip at (epoch, index)."""
        epoch, index = key
        video = self.videos[index // self.clips_per_video]
        plan = draw_clip(video, self.settings, self.seed, epoch, index)
        return read_clip(video, plan, self.decode_size)
