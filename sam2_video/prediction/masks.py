"""Masks into files as they come: palette PNG a frame, or a folder for each object."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from sam2_video.colours import mask_palette
from sam2_video.data.footage import Footage
from sam2_video.files import whole
from sam2_video.inference import FrameMasks, MaskLayout, write_mask
from sam2_video.inference.mask_files import file_name
from sam2_video.masks import decode_rle, encode_rle, read_mask_image
from sam2_video.model.stream import TrackedFrame
from sam2_video.prediction.folder import MASKS
from sam2_video.prediction.store import MaskStore, StoredMask
from sam2_video.structures import BACKGROUND, OBJECT


class MaskOutput:
    """Writes the masks of tracked frames as `VIDEO/FRAME.png` or `VIDEO/OBJECT/FRAME.png`.

    A frame on which nothing is tracked gets no file, which says that it is not annotated. A frame
    that comes a second time, of the other direction, adds its objects to those of the first.
    """

    def __init__(
        self,
        out: Path,
        footage: Footage,
        object_ids: Sequence[int],
        layout: MaskLayout,
        store: MaskStore,
    ) -> None:
        self._folder = out / MASKS / file_name(footage.name)
        self._names = footage.frame_names
        self._rows = {object_id: row for row, object_id in enumerate(object_ids)}
        self._layout: MaskLayout = layout
        self._store = store

    def add(self, frame: TrackedFrame) -> None:
        """Write and keep the masks of a frame."""
        if not frame.object_ids:
            return
        masks = FrameMasks(frame, self._layout)
        name = f"{self._names[frame.index]}.png"
        if self._layout == "davis":
            labels = self._write_labels(self._folder / name, masks)
            found = {object_id: labels == object_id for object_id in frame.object_ids}
        else:
            found = {object_id: masks.of(object_id) for object_id in frame.object_ids}
            for object_id, mask in found.items():
                palette = mask_palette({OBJECT: self._rows[object_id]})
                path = self._folder / str(object_id) / name
                _write(path, mask.to(torch.uint8) * OBJECT, palette)
        scores = frame.object_scores.float().sigmoid().tolist()
        stored = zip(frame.object_ids, scores, strict=True)
        self._store.add(
            frame.index,
            {i: StoredMask(encode_rle(found[i]), round(score, 4)) for i, score in stored},
        )

    def _write_labels(self, path: Path, masks: FrameMasks) -> UInt8[Tensor, "height width"]:
        """Write a label map; return it. Pixels that an earlier pass has labelled stay."""
        labels = masks.labels.to(torch.uint8)
        if path.is_file():
            earlier = read_mask_image(path, (labels.shape[0], labels.shape[1]))
            labels = torch.where(earlier == BACKGROUND, labels, earlier)
        _write(path, labels, mask_palette(self._rows))
        return labels


def stored_masks(
    store: MaskStore, index: int, object_ids: tuple[int, ...], size: tuple[int, int]
) -> Bool[Tensor, "objects height width"]:
    """Return a mask for each object on a frame, empty where it is not tracked."""
    masks = torch.zeros(len(object_ids), *size, dtype=torch.bool)
    for object_id, stored in store.read(index).items():
        masks[object_ids.index(object_id)] = decode_rle(stored.rle)
    return masks


def _write(path: Path, labels: UInt8[Tensor, "height width"], palette: list[int]) -> None:
    with whole(path) as part:
        write_mask(part, labels.numpy().astype(np.uint8), palette)
