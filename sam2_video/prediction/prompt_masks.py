"""A mask as a prompt: label maps of several objects, and drawings of one in black and white."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from torch import Tensor

from sam2_video.image_file import open_image
from sam2_video.masks import Rle, decode_rle, mask_object_ids, read_mask_image
from sam2_video.structures import IGNORE

# Beside white, so many other values are the soft edge of a drawing, not objects.
_MOST_BESIDE_WHITE = 10

ObjectMasks = dict[int, Bool[Tensor, "height width"]]


def read_prompt_masks(
    mask: Path | Rle | Tensor, object_id: int | None, size: tuple[int, int]
) -> ObjectMasks:
    """Return the mask of each object that a mask prompt shows.

    Args:
        mask: an image, RLE, or a tensor (non-zero = object).
        object_id: of the one object that is meant; None = each value of a label map is one.
        size: height and width of the frame.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is empty, of another size, or no mask.
    """
    if isinstance(mask, Path):
        masks = _from_labels(mask, _read_labels(mask, size))
        return masks if object_id is None else {object_id: _choose(mask, masks, object_id)}
    assert object_id is not None
    found = mask > 0 if isinstance(mask, Tensor) else decode_rle(mask)
    if tuple(found.shape) != size:
        raise ValueError(
            f"the mask is {'x'.join(map(str, found.shape))} (height x width) but its frame is "
            f"{size[0]}x{size[1]}"
        )
    if not found.any():
        raise ValueError(f"the mask of object {object_id} is empty; expected pixels of the object")
    return {object_id: found}


def _read_labels(path: Path, size: tuple[int, int]) -> UInt8[Tensor, "height width"]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such mask; expected an image, palette or grey")
    if path.suffix.lower() in (".jpg", ".jpeg"):
        raise ValueError(f"{path}: a JPEG mask has lost its exact values; save the mask as PNG")
    return read_mask_image(path, size, _only_colour(path, size))


def _only_colour(path: Path, size: tuple[int, int]) -> list[list[int]] | None:
    """Return the colour of a drawing in one colour on black: paint programs save it as RGB."""
    try:
        with open_image(path) as image:
            if image.mode not in ("RGB", "RGBA") or (image.height, image.width) != size:
                return None
            colours = np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)
    except OSError:  # damaged, which reading will name
        return None
    drawn = [colour for colour in colours.tolist() if any(colour)]
    return drawn if len(drawn) == 1 else None


def _from_labels(path: Path, labels: UInt8[Tensor, "height width"]) -> ObjectMasks:
    ids, white = mask_object_ids(labels), labels == IGNORE
    if not ids and not white.any():
        raise ValueError(f"{path}: the mask is empty: every pixel is background (0)")
    if not ids:  # a drawing in black and white
        return {1: white}
    if white.any() and len(ids) > _MOST_BESIDE_WHITE:
        raise ValueError(
            f"{path}: {len(ids)} grey values beside white: a drawing with soft edges, not a mask; "
            "save it in pure black and white, or as label map of objects 1, 2, ..."
        )
    return {name: labels == name for name in ids}


def _choose(path: Path, masks: ObjectMasks, object_id: int) -> Bool[Tensor, "height width"]:
    """Return the mask of an object: the one of its value, or the only one that there is."""
    if object_id in masks:
        return masks[object_id]
    if len(masks) > 1:
        raise ValueError(
            f"{path}: shows the objects {sorted(masks)}, not object {object_id}; leave "
            "`object_id` out to track all of them"
        )
    return next(iter(masks.values()))
