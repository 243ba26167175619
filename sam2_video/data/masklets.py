"""A video whose objects are the masklets of SA-V's JSON files."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from sam2_video.data.source import FrameSource
from sam2_video.data.video import Video
from sam2_video.files import read_json
from sam2_video.limits import check_pixels, is_id
from sam2_video.masks import Rle, decode_rle, rle_area, segmentation_to_rle
from sam2_video.segmentations import is_closed_rle
from sam2_video.structures import OBJECT

AUTO_OFFSET = 1000
"""Added to the numbers of automatic masklets, which begin at 0 as the manual ones do."""
STEP = 4
"""Frames of a video from one that is annotated to the next: 6 of 24 a second."""
MOST_FRAMES = 10**9
_FILES_KEPT = 4


@dataclass(frozen=True)
class _Region:
    """The mask of an object on a frame, as the file has it."""

    segmentation: Any
    size: tuple[int, int]
    where: str

    def is_empty(self) -> bool:
        """Say whether no pixel is covered, without decoding or checking all of it."""
        match self.segmentation:
            case {"counts": str(counts), "size": list(size)} if is_closed_rle(counts):
                return size == [*self.size] and rle_area({"size": size, "counts": counts}) == 0
        return rle_area(self._rle()) == 0

    def read(self) -> Bool[Tensor, "height width"]:
        return decode_rle(self._rle())

    def _rle(self) -> Rle:
        return segmentation_to_rle(self.segmentation, self.size, self.where)


@dataclass(frozen=True)
class MaskletFile:
    """What a file says besides the masks themselves, which are read again when they are needed."""

    path: Path
    num_frames: int
    size: tuple[int, int]
    step: int
    object_ids: tuple[int, ...]

    def speaks_of(self, index: int) -> bool:
        """Say whether a frame of the video is annotated."""
        return index % self.step == 0

    def read_regions(self, index: int) -> dict[int, _Region]:
        """Return each object's mask on an annotated frame."""
        regions = _load(self.path)["masklet"][index // self.step]
        wheres = [f"{self.path}, frame {index}, object {name}" for name in self.object_ids]
        return {
            name: _Region(region, self.size, where)
            for name, region, where in zip(self.object_ids, regions, wheres, strict=True)
        }


class MaskletVideo(Video):
    """Frames, every fourth of which is annotated; objects may overlap."""

    def __init__(
        self,
        video_id: str,
        frames: FrameSource,
        frame_names: Sequence[str],
        files: Sequence[MaskletFile],
    ) -> None:
        super().__init__(video_id, frames, frame_names)
        self._files = tuple(files)

    @property
    def declared_ids(self) -> tuple[int, ...]:
        """Objects that have a masklet."""
        return tuple(sorted({name for file in self._files for name in file.object_ids}))

    def annotation_sources(self) -> Iterable[str]:
        """Return the files of masklets."""
        return (str(file.path) for file in self._files)

    def is_labelled(self, index: int, object_id: int | None = None) -> bool:
        """Say whether the frame is annotated: its masklets are visible there, or absent."""
        return any(
            file.speaks_of(index) and (object_id is None or object_id in file.object_ids)
            for file in self._files
        )

    def _read_visible(self, index: int) -> tuple[int, ...]:
        regions = self._read_regions(index)
        return tuple(sorted(name for name, region in regions.items() if not region.is_empty()))

    def _read_masks(
        self, index: int, object_ids: Sequence[int]
    ) -> UInt8[Tensor, "objects height width"]:
        self.frames.check_size()
        masks = torch.zeros((len(object_ids), *self.size), dtype=torch.uint8)
        regions = self._read_regions(index)
        for row, object_id in enumerate(object_ids):
            if object_id in regions:
                masks[row][regions[object_id].read()] = OBJECT
        return masks

    def _read_regions(self, index: int) -> dict[int, _Region]:
        spoken = [file.read_regions(index) for file in self._files if file.speaks_of(index)]
        return {name: region for regions in spoken for name, region in regions.items()}


def read_facts(path: Path, *, is_auto: bool) -> MaskletFile:
    """Read a file of masklets, and check all of it but the masks.

    Raises:
        ValueError: a field is missing or contradicts another.
    """
    content = _load(path)
    fields = ("video_frame_count", "video_height", "video_width")
    num_frames, height, width = (_read_count(path, content, key) for key in fields)
    check_pixels(height, width, str(path))
    names, rows = content.get("masklet_id"), content.get("masklet")
    if not isinstance(rows, list) or not isinstance(names, list):
        raise ValueError(f"{path}: no lists `masklet` and `masklet_id`; expected a file of SA-V")
    step = 1 if len(rows) == num_frames else STEP
    if not rows or not step * (len(rows) - 1) < num_frames <= step * len(rows):
        raise ValueError(
            f"{path}: {len(rows)} annotated frames for {num_frames} frames of video; expected "
            f"every {STEP}th frame, or every one: download the file again"
        )
    for row, regions in enumerate(rows):
        if not isinstance(regions, list) or len(regions) != len(names):
            raise ValueError(
                f"{path}, frame {row * step}: not one mask for each of {len(names)} masklets; "
                "download the file again"
            )
    # the names are numbers first: what is nested cannot be told apart
    if not all(map(is_id, names)) or len(set(names)) < len(names):
        raise ValueError(f"{path}: `masklet_id` {str(names)[:40]}: expected different numbers")
    ids = tuple(name + AUTO_OFFSET * is_auto for name in names)
    return MaskletFile(path, num_frames, (height, width), step, ids)


def _read_count(path: Path, content: dict[str, Any], key: str) -> int:
    value = content.get(key)
    # SA-V writes whole numbers as 483.0
    if not isinstance(value, int | float) or not 1 <= value < MOST_FRAMES or value % 1:
        raise ValueError(f"{path}: `{key}` is {str(value)[:40]}, expected a whole number above 0")
    return int(value)


@lru_cache(maxsize=_FILES_KEPT)
def _load(path: Path) -> dict[str, Any]:
    content = read_json(path, "download the file again")
    if not isinstance(content, dict):
        raise ValueError(f"{path}: no mapping; expected a file of SA-V")
    return content
