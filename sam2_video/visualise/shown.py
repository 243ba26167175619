"""A frame of a video and what is known of its objects, as the pictures take it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from sam2_video.data.video import Video


@dataclass(frozen=True)
class ShownFrame:
    """One frame that is to be drawn; rows are objects, in the order of the video's `object_ids`.

    `truth` holds 0, 1 and 255 (ignore), at the size of the video; `labelled` are the rows of which
    the frame says anything.
    """

    index: int
    name: str
    pixels: UInt8[Tensor, "3 _height _width"]
    truth: UInt8[Tensor, "objects height width"]
    labelled: tuple[int, ...]


def read_shown_frame(
    video: Video,
    index: int,
    max_size: tuple[int, int] | None = None,
    object_ids: Sequence[int] | None = None,
) -> ShownFrame:
    """Read a frame with the truth about all objects of its video.

    Args:
        video: the video.
        index: the frame.
        max_size: the largest height and width at which the frame is drawn.
        object_ids: all objects of the video, where it is known that not every mask can be read.
    """
    ids = video.object_ids if object_ids is None else object_ids
    truth = torch.zeros(len(ids), *video.size, dtype=torch.uint8)
    labelled = [row for row, name in enumerate(ids) if video.is_labelled(index, name)]
    if labelled:
        truth[labelled] = video.read_masks(index, [ids[row] for row in labelled])
    pixels = video.read_frame(index, max_size=max_size)
    return ShownFrame(index, video.frame_names[index], pixels, truth, tuple(labelled))
