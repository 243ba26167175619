"""A small video in memory, and a recorder of what is drawn of it."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sam2_video.colours import object_colour
from sam2_video.data.source import ImageFiles
from sam2_video.data.video import Video
from sam2_video.visualise import Prediction, draw_comparison, read_shown_frame
from sam2_video.visualise.sheet import Cell, LegendItem

GREY = 128
HEIGHT, WIDTH = 90, 160


class MemoryVideo(Video):
    """Grey frames; `labels[frame]` is a label map, or None where the frame is unlabelled."""

    def __init__(self, labels: Sequence[Tensor | None]) -> None:
        names = [f"some/long/folder/of/frames/{i:05d}.jpg" for i in range(len(labels))]
        super().__init__("video", ImageFiles([Path(name) for name in names]), names)
        self._labels = labels

    def is_labelled(self, index: int, object_id: int | None = None) -> bool:
        return self._labels[index] is not None

    def read_frame(self, index: int, max_size: tuple[int, int] | None = None) -> Tensor:
        return torch.full((3, *self.size), GREY, dtype=torch.uint8)

    def _label_map(self, index: int) -> Tensor:
        labels = self._labels[index]
        assert labels is not None
        return labels

    def _read_visible(self, index: int) -> tuple[int, ...]:
        return tuple(v for v in self._label_map(index).unique().tolist() if v not in (0, 255))

    def _read_masks(self, index: int, object_ids: Sequence[int]) -> Tensor:
        labels = self._label_map(index)
        masks = torch.stack([labels == name for name in object_ids]).to(torch.uint8)
        return masks.masked_fill(labels == 255, 255)

    def _read_size(self) -> tuple[int, int]:
        height, width = next(x for x in self._labels if x is not None).shape
        return height, width


def two_objects(*, is_swapped: bool = False) -> Tensor:
    """Return object 1 on the left and object 2 on the right, or the other way round."""
    labels = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    labels[30:60, 10:50] = 2 if is_swapped else 1
    labels[30:60, 110:150] = 1 if is_swapped else 2
    return labels


def masks_of(labels: Tensor) -> Tensor:
    return torch.stack([labels == 1, labels == 2])


def many_objects(count: int, size: tuple[int, int]) -> Tensor:
    """Return objects on a grid of 10 columns."""
    labels = torch.zeros(size, dtype=torch.uint8)
    height, width = size[0] // math.ceil(count / 10), size[1] // 10
    for i in range(count):
        top, left = i // 10 * height, i % 10 * width
        labels[top : top + height - 1, left : left + width - 1] = i + 1
    return labels


class Recorded:
    """The arguments of the last sheet that was to be written."""

    def __call__(
        self,
        title: str,
        legend: Sequence[LegendItem],
        column_titles: Sequence[tuple[str, str]],
        row_titles: Sequence[str],
        cells: Sequence[Sequence[Cell]],
    ) -> np.ndarray:
        self.legend = [item.text for item in legend]
        self.row_titles = [title.replace("\n", " ") for title in row_titles]
        self.column_titles = column_titles
        self.cells = dict(zip(self.row_titles, cells, strict=True))
        return np.zeros((1, 1, 3), np.uint8)

    def captions(self, row: str) -> list[str]:
        return [cell.caption for cell in self.cells[row]]

    def labels(self, row: str) -> list[list[str]]:
        return [[label.text for label in cell.labels] for cell in self.cells[row]]


def draw(video: Video, frames: Sequence[int], **changes: Any) -> np.ndarray:
    first = {name: video.first_appearance(name) for name in video.object_ids}
    arguments: dict[str, Any] = {"prompt_frame_of": first, "predictions": {}, "title": "video"}
    shown = [read_shown_frame(video, frame) for frame in frames]
    return draw_comparison(shown, video.object_ids, **(arguments | changes))


def predicted(
    masks: Mapping[int, Tensor], similarities: Mapping[int, float] | None = None
) -> Prediction:
    return Prediction(masks, similarities or {})


def pixels_of(picture: np.ndarray, row: int) -> np.ndarray:
    """Return (y, x) of the pixels that have an object's colour exactly."""
    return np.argwhere((picture == object_colour(row)).all(axis=-1))
