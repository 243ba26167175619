"""Clips of videos as a torch data set whose items are named by (epoch, index)."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
import torch
from jaxtyping import Int
from torch.utils.data import Dataset

from sam2_video.data.encoded import EncodedVideo
from sam2_video.data.motion import draw_motion, move_image, move_masks
from sam2_video.data.paste import draw_donor, paste_objects
from sam2_video.data.sampling import ClipPlan, ClipSettings, branches, draw_clip
from sam2_video.data.video import Video
from sam2_video.masks import show_object
from sam2_video.structures import Clip

STAND_IN_BRANCH = 6
"""Of a clip's seed sequence: those below are the clip's own, its donor's and its geometry's."""


def read_clip(
    video: Video,
    plan: ClipPlan,
    decode_size: tuple[int, int] | None = None,
    *,
    has_frames: bool = True,
) -> Clip:
    """Read the frames and the chosen objects of a clip; a frame that comes twice is read once.

    Args:
        video: The video.
        plan: Frames and objects.
        decode_size: Height and width at which frames are used: decoding may stop near it.
        has_frames: Read frames; without, they have no pixels.
    """
    none = torch.zeros((3, 0, 0), dtype=torch.uint8)
    # in order, which a video file is decoded in
    frames = {
        i: video.read_frame(i, decode_size) if has_frames else none
        for i in sorted(set(plan.frames))
    }
    empty = torch.zeros((len(plan.object_ids), *video.size), dtype=torch.uint8)
    masks = {
        i: video.read_masks(i, plan.object_ids) if video.is_labelled(i) else empty for i in frames
    }
    labelled = [[video.is_labelled(i, o) for i in plan.frames] for o in plan.object_ids]
    if plan.motion_seed is None:
        clip_frames = torch.stack([frames[i] for i in plan.frames])
        clip_masks = torch.stack([masks[i] for i in plan.frames], dim=1)
    else:
        motion = draw_motion(plan.motion_seed, len(plan.frames))
        clip_frames = move_image(frames[plan.frames[0]], motion, video.size)
        clip_masks = move_masks(masks[plan.frames[0]], motion)
    visible = show_object(clip_masks)
    assert bool(visible.any(1).all()), f"{video.video_id}: a planned object is nowhere visible"
    return Clip(
        video_id=video.video_id,
        frame_names=tuple(video.frame_names[i] for i in plan.frames),
        frames=clip_frames,
        masks=clip_masks,
        labelled=torch.tensor(labelled),
        object_ids=plan.object_ids,
        prompt_frames=tuple(visible.int().argmax(1).tolist()),
        seed=plan.seed,
    )


@dataclass(frozen=True)
class ClipSet:
    """Videos whose clips are drawn alike.

    `clips_per_video` need not be whole: an epoch then takes as many clips as the videos would
    have together, rounded, and goes on through them, in an order drawn by the seed, where the
    epoch before has stopped. So each video has its share over the epochs, to within one clip.
    """

    videos: Sequence[Video]
    settings: ClipSettings
    clips_per_video: float = 1.0

    @property
    def num_clips(self) -> int:
        """Return the number of clips of an epoch."""
        return max(round(len(self.videos) * self.clips_per_video), 1)

    def shuffled(self, seed: int) -> Int[np.ndarray, " videos"]:
        """Return the order in which videos take turns where they cannot all have their share."""
        return np.random.default_rng([seed, len(self.videos)]).permutation(len(self.videos))


class ClipDataset(Dataset[Clip]):
    """Training clips: the clip at (epoch, index) depends on these, the seed and the data only.

    Args:
        sets: What is drawn from, one set's clips after another's.
        seed: Of all that is drawn.
        decode_size: Height and width at which frames are used: decoding may stop near it.
        max_epochs: Of the training, whose progress a schedule of strides follows.
        encoded: Videos whose frames are encoded beforehand, by name: their images are not read.
    """

    def __init__(
        self,
        sets: Sequence[ClipSet],
        seed: int,
        decode_size: tuple[int, int] | None = None,
        max_epochs: int = 1,
        encoded: Mapping[str, EncodedVideo] | None = None,
    ) -> None:
        self.sets = tuple(sets)
        self.seed = seed
        self.decode_size = decode_size
        self.max_epochs = max_epochs
        self.encoded = {} if encoded is None else encoded
        self._orders = [one.shuffled(seed) for one in self.sets]
        self._ends = list(accumulate(one.num_clips for one in self.sets))

    def __len__(self) -> int:
        """Return the number of clips of an epoch."""
        return self._ends[-1]

    def __getitem__(self, key: tuple[int, int]) -> Clip:
        """Draw and read the clip at (epoch, index)."""
        return self.draw(*key)

    def draw(self, epoch: int, index: int, again: int = 0) -> Clip:
        """Draw and read the clip at (epoch, index), or the `again`-th that can stand in for it.

        That one is of another video of the set, where there is one.

        Raises:
            OSError, ValueError: a file is missing, damaged, or of another size.
        """
        number = bisect_right(self._ends, index)
        one = self.sets[number]
        own = self._video_of(number, epoch, index - self._ends[number] + one.num_clips)
        progress = epoch / self.max_epochs
        sequence = np.random.SeedSequence([self.seed, epoch, index])
        if again:
            (stand_ins,) = branches(sequence, STAND_IN_BRANCH, 1)
            order, sequence = branches(stand_ins, 0, 1)[0], branches(stand_ins, again, 1)[0]
            others = np.random.default_rng(order).permutation(len(one.videos))
            others = others[others != own] if len(others) > 1 else others
            own = int(others[(again - 1) % len(others)])
        video = one.videos[own]
        plan = draw_clip(video, one.settings, sequence, progress)
        encoded = self.encoded.get(video.video_id)
        if encoded is not None:
            clip = read_clip(video, plan, has_frames=False)
            return encoded.put_in(clip, plan, sequence)
        clip = read_clip(video, plan, self.decode_size)
        if not one.settings.paste_probability:
            return clip
        # the first three branches are those of the clip itself
        donor_seed, paste_seed = branches(sequence, 3, 2)
        settings = replace(one.settings, length=len(plan.frames))
        donor = draw_donor(one.videos, own, settings, donor_seed, progress)
        if donor is None:
            return clip
        other = read_clip(one.videos[donor.video], donor.plan, self.decode_size)
        return paste_objects(clip, other, settings.max_objects, np.random.default_rng(paste_seed))

    def _video_of(self, number: int, epoch: int, place: int) -> int:
        """Return the video of a set that the clip at a place in its part of an epoch is of."""
        one = self.sets[number]
        if one.clips_per_video == int(one.clips_per_video):
            return place // int(one.clips_per_video)
        order = self._orders[number]
        return int(order[(epoch * one.num_clips + place) % len(order)])
