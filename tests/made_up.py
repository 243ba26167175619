"""A video in memory, with a rectangle that moves and one that comes later."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from sam2_video.data.source import ImageFiles
from sam2_video.data.video import Video
from sam2_video.model.stream import TrackedFrame
from sam2_video.structures import OBJECT

HEIGHT, WIDTH, NUM_FRAMES = 40, 56, 6
EARLY, LATE = 11, 3
LATE_FRAME = 2


class MadeUpVideo(Video):
    """A video in memory: `masks[object][frame]`; frames without a key are unlabelled."""

    def __init__(self, masks: dict[int, dict[int, Tensor]]) -> None:
        names = [f"{i}.jpg" for i in range(NUM_FRAMES)]
        super().__init__("made-up", ImageFiles([Path(name) for name in names]), names)
        self.truth = masks
        self.read: list[int] = []

    def read_frame(self, index: int, max_size: tuple[int, int] | None = None) -> Tensor:
        self.read.append(index)
        return torch.full((3, HEIGHT, WIDTH), 40 * index, dtype=torch.uint8)

    def is_labelled(self, index: int, object_id: int | None = None) -> bool:
        if object_id is not None:
            return index in self.truth[object_id]
        return any(index in by_frame for by_frame in self.truth.values())

    def _read_visible(self, index: int) -> tuple[int, ...]:
        return tuple(
            name
            for name, by_frame in sorted(self.truth.items())
            if index in by_frame and (by_frame[index] == OBJECT).any()
        )

    def _read_masks(self, index: int, object_ids: Sequence[int]) -> Tensor:
        return torch.stack([self.truth[name][index] for name in object_ids])

    def _read_size(self) -> tuple[int, int]:
        return HEIGHT, WIDTH


def rectangle(top: int, left: int, height: int = 12, width: int = 16) -> Tensor:
    mask = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    mask[top : top + height, left : left + width] = OBJECT
    return mask


def make_video() -> MadeUpVideo:
    """An object seen on all frames, and one that comes on frame 2."""
    early = {frame: rectangle(5 + frame, 8) for frame in range(NUM_FRAMES)}
    late = {frame: rectangle(20, 30 - frame) for frame in range(LATE_FRAME, NUM_FRAMES)}
    empty = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    return MadeUpVideo({EARLY: early, LATE: dict.fromkeys(range(LATE_FRAME), empty) | late})


def tracked_frame(index: int, logits: dict[int, Tensor]) -> TrackedFrame:
    names = tuple(sorted(logits))
    stacked = torch.stack([logits[n] for n in names]) if names else torch.zeros(0, HEIGHT, WIDTH)
    return TrackedFrame(index, names, stacked, torch.ones(len(names)), (HEIGHT, WIDTH))
