"""Training videos whose frames are encoded beforehand: what a cache should hold, and reading it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sam2_video.augmentation import Geometry, Strengths, draw_variant, keeps_an_object, warp_frames
from sam2_video.data.sampling import ClipPlan, branches
from sam2_video.data.video import Video
from sam2_video.feature_cache import (
    SUFFIX,
    EncodedRows,
    Wanted,
    describe_files,
    hash_facts,
    readable,
)
from sam2_video.pixels import PIXEL_MEAN, PIXEL_STD, prepare_frames
from sam2_video.structures import Clip

TRANSFORM = {
    "resize": "bilinear, antialiased",
    "mean": PIXEL_MEAN,
    "std": PIXEL_STD,
    "warp": "bilinear, zeros outside",
}
"""What happens to frames before they are encoded, apart from their size."""
VARIANT_BRANCH = 5
"""Of a clip's seed sequence: 0 to 2 are the clip's, 3 and 4 those of pasting."""


@dataclass(frozen=True)
class EncodedVideo:
    """A video in each of its geometries; the first is the video as filmed."""

    rows: tuple[EncodedRows, ...]
    geometries: tuple[Geometry, ...]

    def put_in(self, clip: Clip, plan: ClipPlan, sequence: np.random.SeedSequence) -> Clip:
        """Return a clip, read without its frames, with what an encoder says of them.

        The geometry is drawn from those that leave an object in view.
        """
        (seed,) = branches(sequence, VARIANT_BRANCH, 1)
        order = np.random.default_rng(seed).permutation(len(self.rows)).tolist()
        variant = next(
            number
            for number in order
            if keeps_an_object(self.geometries[number], clip.masks, clip.labelled)
        )
        levels = self.rows[variant].read(plan.frames)
        return replace(clip, levels=levels, variant=variant)


def want(
    videos: Sequence[Video], num_variants: int, strengths: Strengths, image_size: tuple[int, int]
) -> dict[str, list[tuple[Geometry, Wanted]]]:
    """Return what a cache should hold of each video, by its name.

    Files are named by what is in them: the files of the frames, their sizes and their times of
    change, and the geometry.

    Raises:
        FileNotFoundError: a frame is gone.
        ValueError: a video's frames lie in no file, so nothing would tell that they have changed.
    """
    return {
        video.video_id: [
            _want_variant(
                video, draw_variant(video.video_id, number, strengths, video.size), image_size
            )
            for number in range(num_variants)
        ]
        for video in videos
    }


def _want_variant(
    video: Video, geometry: Geometry, image_size: tuple[int, int]
) -> tuple[Geometry, Wanted]:
    files = describe_files(video.frames.files())
    if not files:
        raise ValueError(
            f"dataset.feature_cache: video {video.video_id} has no files of frames, whose size and "
            "time would tell that they have changed; leave dataset.feature_cache out"
        )
    moved = None if geometry.to_source is None else geometry.to_source.tolist()
    facts = {"files": files, "frames": video.num_frames, "flips": geometry.flips, "moved": moved}
    if settings := video.frames.settings():
        facts["settings"] = list(settings)
    wanted = Wanted(
        f"{readable(video.video_id)}-{hash_facts(facts)}{SUFFIX}",
        video.video_id,
        video.num_frames,
        partial(read_pixels, video, geometry, image_size),
    )
    return geometry, wanted


def read_pixels(
    video: Video,
    geometry: Geometry,
    image_size: tuple[int, int],
    frames: range,
    device: torch.device,
) -> Float[Tensor, "images 3 height width"]:
    """Return frames as a training step shows them to the network, which it does on its device."""
    stored = torch.stack([video.read_frame(index, image_size) for index in frames])
    return warp_frames(geometry, prepare_frames(stored.to(device), image_size))


def open_encoded(
    wanted: Mapping[str, Sequence[tuple[Geometry, Wanted]]], rows: Sequence[EncodedRows]
) -> dict[str, EncodedVideo]:
    """Return the videos that a cache was asked for, from its rows in the same order."""
    remaining = iter(rows)
    return {
        video_id: EncodedVideo(
            tuple(next(remaining) for _ in variants),
            tuple(geometry for geometry, _ in variants),
        )
        for video_id, variants in wanted.items()
    }
