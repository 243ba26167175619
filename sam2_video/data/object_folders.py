"""A video whose masks are files in a folder for each object, which may overlap."""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from sam2_video.data.mask_folder import MaskFolder
from sam2_video.data.packed import FilePaths
from sam2_video.data.source import FrameSource
from sam2_video.data.video import Video
from sam2_video.masks import read_mask_image
from sam2_video.structures import BACKGROUND


class ObjectFoldersVideo(Video):
    """Frames, and masks of the same names for each object, as in SA-V's validation and test sets.

    A frame without a file of an object says nothing about this object. Any one value stands for
    the object, 1 and 255 are both in use. Objects are numbered as their folders, or, where these
    are not all numbers, from 1 on in natural order; `object_names` has the folders' names.
    """

    def __init__(
        self, video_id: str, frames: FrameSource, frame_names: Sequence[str], masks: MaskFolder
    ) -> None:
        super().__init__(video_id, frames, frame_names)
        are_numbers = all(isinstance(key, int) for key in masks.objects)
        numbers = {
            key: key if are_numbers and isinstance(key, int) else row
            for row, key in enumerate(masks.objects, start=1)
        }
        self._files = {
            numbers[key]: FilePaths([files.get(name) for name in self.frame_names])
            for key, files in masks.objects.items()
        }
        if not are_numbers:
            self.object_names = {numbers[key]: masks.name_of(key) for key in masks.objects}

    def is_labelled(self, index: int, object_id: int | None = None) -> bool:
        """Say whether the frame has a file of the object, or of any."""
        if object_id is not None:
            return object_id in self._files and self._files[object_id].has(index)
        return any(files.has(index) for files in self._files.values())

    @property
    def declared_ids(self) -> tuple[int, ...]:
        """Objects that have a folder."""
        return tuple(sorted(self._files))

    def annotation_sources(self) -> Iterable[str]:
        """Return the mask files."""
        return (path for files in self._files.values() for path in files.present())

    def _read_visible(self, index: int) -> tuple[int, ...]:
        return tuple(self._read_areas(index))

    def _read_areas(self, index: int) -> dict[int, int]:
        labelled = (key for key in sorted(self._files) if self.is_labelled(index, key))
        areas = {key: int(self._read_mask(index, key).sum()) for key in labelled}
        return {key: area for key, area in areas.items() if area}

    def _read_masks(
        self, index: int, object_ids: Sequence[int]
    ) -> UInt8[Tensor, "objects height width"]:
        masks = torch.zeros((len(object_ids), *self.size), dtype=torch.uint8)
        for row, object_id in enumerate(object_ids):
            if self.is_labelled(index, object_id):
                masks[row] = self._read_mask(index, object_id)
        return masks

    def _read_mask(self, index: int, object_id: int) -> Bool[Tensor, "height width"]:
        path = self._files[object_id][index]
        values = read_mask_image(path, self.size)
        mask = values != BACKGROUND
        if (mask & (values != values.max())).any():
            raise ValueError(
                f"{path}: several values in a file of a folder for one object; expected 0 and one "
                "other: write VIDEO/OBJECT/*.png for each object, or label maps VIDEO/*.png"
            )
        return mask
