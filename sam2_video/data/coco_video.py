"""A video whose objects are annotations of a COCO file."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import UInt8
from torch import Tensor

from sam2_video.data.packed import Records
from sam2_video.data.source import ImageFiles
from sam2_video.data.video import Video
from sam2_video.masks import decode_rle, rle_area, segmentation_to_rle
from sam2_video.structures import IGNORE, OBJECT


class Region(NamedTuple):
    """One annotation; without an object (COCO's `iscrowd`) it marks pixels to ignore."""

    object_id: int | None
    segmentation: Any
    where: str


class CocoVideo(Video):
    """Images listed in a COCO file, every one of them labelled; objects may overlap.

    Several regions of one object on one image are joined. A crowd region is ignored for every
    object, except on the object's own pixels.
    """

    objects_are_categories = False
    """The file tells no objects apart: all regions of a category are one."""

    def __init__(
        self,
        video_id: str,
        frame_paths: Sequence[Path],
        frame_names: Sequence[str],
        size: tuple[int, int],
        regions: Mapping[int, Sequence[Region]],
        json_path: Path | None = None,
    ) -> None:
        super().__init__(video_id, ImageFiles(frame_paths, size), frame_names)
        self._regions = Records(tuple(regions.get(i, ())) for i in range(self.num_frames))
        self._json_path = json_path

    @property
    def declared_ids(self) -> tuple[int, ...]:
        """Objects that have an annotation."""
        regions = (region for listed in self._regions for region in listed)
        return tuple(sorted({one.object_id for one in regions if one.object_id is not None}))

    def annotation_sources(self) -> Iterable[str]:
        """Return the COCO file."""
        return () if self._json_path is None else (str(self._json_path),)

    def count_regions(self, index: int) -> Mapping[int, int]:
        """Return how many regions each object has on an image."""
        listed = self._regions[index]
        return Counter(one.object_id for one in listed if one.object_id is not None)

    def is_labelled(self, index: int, object_id: int | None = None) -> bool:
        """Say that the image is listed: an object without an annotation on it is absent."""
        return True

    def _read_visible(self, index: int) -> tuple[int, ...]:
        visible = {
            region.object_id
            for region in self._regions[index]
            if region.object_id is not None
            and rle_area(segmentation_to_rle(region.segmentation, self.size, region.where))
        }
        return tuple(sorted(visible))

    def _read_masks(
        self, index: int, object_ids: Sequence[int]
    ) -> UInt8[Tensor, "objects height width"]:
        rows = {object_id: row for row, object_id in enumerate(object_ids)}
        rles = [
            (region.object_id, segmentation_to_rle(region.segmentation, self.size, region.where))
            for region in self._regions[index]
            if region.object_id is None or region.object_id in rows
        ]
        self.frames.check_size()
        masks = torch.zeros((len(object_ids), *self.size), dtype=torch.uint8)
        for object_id, rle in rles:
            if object_id is not None:
                masks[rows[object_id]] |= decode_rle(rle)
        crowds = [decode_rle(rle) for object_id, rle in rles if object_id is None]
        if crowds:
            ignored = torch.stack(crowds).any(0)
            masks.masked_fill_(ignored & (masks != OBJECT), IGNORE)
        return masks
