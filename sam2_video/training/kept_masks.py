"""What a validation predicted on some frames of a video, small enough to keep of all videos."""

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from sam2_video.data.video import Video
from sam2_video.evaluation import VideoScore
from sam2_video.files import whole
from sam2_video.model.writing import save_tensors

LARGEST = (360, 480)
"""Height and width at which masks are kept: that of pictures, not of scores."""
MOST_FRAMES, LEAST_FRAMES = 96, 6
MOST_FRAMES_OF_ALL = 4000
MOST_BYTES = 256e6
"""Of the masks of a video as evaluation hands them over, a byte a pixel."""


@dataclass(frozen=True)
class KeptMasks:
    """Masks of all objects of a video on some frames.

    `similarities` is the mean J over objects by frame, `mean` the J&F of the video.
    """

    frames: tuple[int, ...]
    shape: tuple[int, int, int]
    packed: bytes
    similarities: dict[int, float]
    mean: float


def choose_frames(videos: Sequence[Video]) -> dict[str, tuple[int, ...]]:
    """Return the frames of each video whose masks are kept: evenly spaced, the first included."""
    chosen = {}
    for video in videos:
        height, width = video.size
        by_memory = int(MOST_BYTES // (height * width * len(video.object_ids)))
        count = min(by_memory, MOST_FRAMES, MOST_FRAMES_OF_ALL // len(videos))
        chosen[video.video_id] = spread(video.num_frames, max(count, LEAST_FRAMES))
    return chosen


def spread(length: int, count: int) -> tuple[int, ...]:
    """Return at most `count` evenly spaced places of so many, the first and the last included.

    >>> spread(9, 3), spread(2, 5)
    ((0, 4, 8), (0, 1))
    """
    return tuple(np.linspace(0, length - 1, min(count, length)).round().astype(int).tolist())


def keep(score: VideoScore) -> KeptMasks:
    """Return the masks of a score, reduced and packed."""
    frames = tuple(sorted(score.masks))
    stacked = [_reduce(score.masks[frame]) for frame in frames]
    num_objects, height, width = stacked[0].shape
    by_frame: dict[int, list[float]] = {}
    for values in score.frames.values():
        for frame, value in values.items():
            if not math.isnan(value):
                by_frame.setdefault(frame, []).append(value)
    return KeptMasks(
        frames,
        (num_objects, height, width),
        zlib.compress(np.packbits(np.stack(stacked)).tobytes(), 1),
        {f: sum(by_frame[f]) / len(by_frame[f]) for f in frames if f in by_frame},
        score.scores.jf,
    )


def unpack(kept: KeptMasks) -> dict[int, Bool[Tensor, "objects height width"]]:
    """Return the masks by frame."""
    count = len(kept.frames) * math.prod(kept.shape)
    bits = np.unpackbits(np.frombuffer(zlib.decompress(kept.packed), np.uint8), count=count)
    masks = torch.from_numpy(bits.astype(bool)).unflatten(0, (len(kept.frames), *kept.shape))
    return dict(zip(kept.frames, masks, strict=True))


def save_kept(path: Path, kept: Mapping[str, KeptMasks]) -> None:
    """Write kept masks by video, whole or not at all."""
    content = {
        video_id: {
            "frames": masks.frames,
            "shape": masks.shape,
            "packed": torch.frombuffer(bytearray(masks.packed), dtype=torch.uint8),
            "similarities": masks.similarities,
            "mean": masks.mean,
        }
        for video_id, masks in kept.items()
    }
    with whole(path) as part:
        save_tensors(content, part)


def load_kept(path: Path) -> dict[str, KeptMasks]:
    """Read what `save_kept` wrote; no file has no masks."""
    if not path.is_file():
        return {}
    content: dict[str, dict[str, Any]] = torch.load(path, weights_only=True)
    return {
        video_id: KeptMasks(**(fields | {"packed": fields["packed"].numpy().tobytes()}))
        for video_id, fields in content.items()
    }


def _reduce(masks: Bool[Tensor, "objects height width"]) -> Bool[np.ndarray, "objects _h _w"]:
    """Return masks at the size of pictures: quickly, for there are many."""
    height, width = masks.shape[1:]
    scale = min(LARGEST[0] / height, LARGEST[1] / width, 1.0)
    size = max(round(height * scale), 1), max(round(width * scale), 1)
    if size == (height, width):
        return masks.numpy()
    reduced = np.zeros((len(masks), *size), dtype=bool)
    for row, mask in enumerate(masks.numpy()):
        if mask.any():
            cover = cv2.resize(
                mask.view(np.uint8) * np.uint8(255), size[::-1], interpolation=cv2.INTER_AREA
            )
            reduced[row] = cover >= min(128, int(cover.max()))
    return reduced
