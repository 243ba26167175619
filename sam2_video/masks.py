"""Read, decode, encode and resize masks whose values keep their meaning."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

import cv2
import numpy as np
import torch
from jaxtyping import Bool, UInt8
from PIL import Image
from pycocotools import mask as coco_mask
from torch import Tensor
from torch.nn import functional as F

from sam2_video.image_file import open_image
from sam2_video.limits import check_pixels
from sam2_video.png_counts import count_packed_values
from sam2_video.segmentations import check_outline, check_segmentation, checked_runs
from sam2_video.structures import BACKGROUND, IGNORE, OBJECT

_JOINED_AT_ONCE = 16

Palette = Sequence[Sequence[int]]
Size = tuple[int, int]


class Rle(TypedDict):
    """A mask as COCO's compressed run lengths; `size` is height, width."""

    size: list[int]
    counts: str | bytes


def read_mask_image(
    path: Path, size: Size, colour_palette: Palette | None = None
) -> UInt8[Tensor, "height width"]:
    """Read an 8-bit mask file; palette indices and grey values come out as they are stored.

    Args:
        path: The file: palette, 8-bit grey or 1-bit; RGB only with `colour_palette`.
        size: Height and width that the mask must have, those of its frame.
        colour_palette: RGB colours of the objects 1, 2, ...; black is background.

    Raises:
        ValueError: The file is truncated, not an 8-bit mask, or of another size.
    """
    return _read_values(path, _load(path, size), colour_palette)


def read_mask_areas(
    path: Path, size: Size, colour_palette: Palette | None = None
) -> dict[int, int]:
    """Read how many pixels each object of a mask file has, in the order of their values.

    The arguments and errors are those of `read_mask_image`.
    """
    packed = count_packed_values(path, size)
    if packed is not None:
        return _by_value(packed.tolist())
    image = _load(path, size)
    if image.mode == "P":
        return _count(image)
    return mask_areas(_read_values(path, image, colour_palette))


def _load(path: Path, size: Size) -> Image.Image:
    height, width = size
    try:
        with open_image(path) as image:
            # the header tells the size: what is too large is never unpacked
            if image.size == (width, height):
                image.load()
    except OSError as error:
        raise ValueError(
            f"{path}: the mask cannot be read ({error}); write or copy the file again"
        ) from error
    if image.size != (width, height):
        raise ValueError(
            f"{path}: the mask is {image.height}x{image.width} (height x width) but its frame is "
            f"{height}x{width}; export masks at the size of the frames"
        )
    return image


def _read_values(
    path: Path, image: Image.Image, colour_palette: Palette | None
) -> UInt8[Tensor, "height width"]:
    if image.mode in ("1", "P", "L"):
        values = np.array(image, dtype=np.uint8)
        scale = _grey_scale(path, image.mode)
        return torch.from_numpy(values if scale == 1 else values // scale)
    if image.mode in ("RGB", "RGBA"):
        return _read_colours(path, image, colour_palette)
    raise ValueError(
        f"{path}: the mask has Pillow mode {image.mode} (more than 8 bits, or no mask at all), "
        "expected 8-bit palette or grey; save it as 8-bit PNG with object numbers 1 to 254"
    )


def _grey_scale(path: Path, mode: str) -> int:
    """Return the factor by which Pillow stretched the values: not 1 for grey PNG of 2 or 4 bits."""
    header = path.read_bytes()[:25] if mode == "L" else b""
    is_png = header.startswith(b"\x89PNG")
    return 255 // (2 ** header[24] - 1) if is_png else 1


def _read_colours(
    path: Path, image: Image.Image, colour_palette: Palette | None
) -> UInt8[Tensor, "height width"]:
    if colour_palette is None:
        raise ValueError(
            f"{path}: the mask is an {image.mode} picture, expected one value a pixel; save it as "
            "palette or grey PNG, or list the objects' colours in dataset.colour_palette"
        )
    weights = np.array([1 << 16, 1 << 8, 1])
    colours = np.asarray(image.convert("RGB")) @ weights
    values = np.zeros(colours.shape, dtype=np.uint8)
    known = colours == 0
    for number, colour in enumerate(colour_palette, start=1):
        hit = colours == np.asarray(colour) @ weights
        values[hit] = number
        known |= hit
    if not known.all():
        unknown = int(colours[~known][0])
        rgb = [unknown >> 16, unknown >> 8 & 255, unknown & 255]
        raise ValueError(
            f"{path}: colour {rgb} is not in dataset.colour_palette ({int((~known).sum())} pixels "
            "of unknown colours); add it, or save masks without smoothing (no JPEG)"
        )
    return torch.from_numpy(values)


def mask_object_ids(mask: UInt8[Tensor, "height width"]) -> tuple[int, ...]:
    """Return the objects of a mask: its values in order, without background and ignore."""
    return tuple(mask_areas(mask))


def mask_areas(mask: UInt8[Tensor, "height width"]) -> dict[int, int]:
    """Return how many pixels each object of a mask has, in the order of their values."""
    return _count(Image.fromarray(mask.numpy()))


def _count(picture: Image.Image) -> dict[int, int]:
    # what lies around all objects is most of a picture, and need not be counted
    return _by_value(picture.crop(picture.getbbox() or (0, 0, 0, 0)).histogram())


def _by_value(counts: Sequence[int]) -> dict[int, int]:
    objects = enumerate(counts[OBJECT:IGNORE], start=OBJECT)
    return {value: count for value, count in objects if count}


def separate_objects(
    mask: UInt8[Tensor, "height width"], object_ids: Sequence[int]
) -> UInt8[Tensor, "objects height width"]:
    """Return a mask of 0, 1 and 255 for each object; ignored pixels are ignored for all.

    >>> separate_objects(torch.tensor([[0, 2, 255]], dtype=torch.uint8), [1, 2]).tolist()
    [[[0, 0, 255]], [[0, 1, 255]]]
    """
    # NumPy compares bytes several times as fast as PyTorch does on a CPU
    values = mask.numpy()
    separate = np.empty((len(object_ids), *values.shape), dtype=np.uint8)
    for row, object_id in zip(separate, object_ids, strict=True):
        np.equal(values, object_id, out=row.view(bool))
    if values.size and values.max() == IGNORE:
        separate[:, values == IGNORE] = IGNORE
    return torch.from_numpy(separate)


def show_object(masks: UInt8[Tensor, "*axes height width"]) -> Bool[Tensor, "*axes"]:
    """Say of each mask of 0, 1 and 255 whether it has a pixel of its object."""
    flat = masks.flatten(0, -3).numpy() if masks.ndim > 2 else masks[None].numpy()
    seen = torch.tensor([bool((one == OBJECT).any()) for one in flat], dtype=torch.bool)
    return seen.reshape(masks.shape[:-2])


def segmentation_to_rle(segmentation: object, size: Size, where: str) -> Rle:
    """Return a COCO segmentation of any form as compressed RLE.

    Args:
        segmentation: RLE or polygons, as `check_segmentation` accepts them.
        size: Height and width of the image.
        where: File and annotation, for messages.
    """
    height, width = size
    check_segmentation(segmentation, where)
    check_pixels(height, width, where)
    if isinstance(segmentation, list):
        check_outline(segmentation, where)
        return _as_text(_union(coco_mask.frPyObjects(segmentation, height, width)))
    assert isinstance(segmentation, dict)
    if segmentation["size"] != [height, width]:
        raise ValueError(
            f"{where}: the RLE has size {str(segmentation['size'])[:40]}, its image is "
            f"[{height}, {width}] (height, width); export masks at the size of the frames"
        )
    counts = segmentation["counts"]
    checked_runs(counts, height * width, where)
    if isinstance(counts, list):
        uncompressed: Any = {"size": [height, width], "counts": counts}
        return _as_text(coco_mask.frPyObjects(uncompressed, height, width))
    return {"size": [height, width], "counts": counts}


def _union(rles: list[Any]) -> Any:  # noqa: ANN401 (pycocotools' own form)
    """Join masks a few at a time: one after another would take the square of their number."""
    while len(rles) > _JOINED_AT_ONCE:
        starts = range(0, len(rles), _JOINED_AT_ONCE)
        rles = [coco_mask.merge(rles[start : start + _JOINED_AT_ONCE]) for start in starts]
    return coco_mask.merge(rles)


def decode_rle(rle: Rle) -> Bool[Tensor, "height width"]:
    """Return the pixels that a compressed RLE covers."""
    by_column = coco_mask.decode(rle).T
    return torch.from_numpy(np.ascontiguousarray(cv2.transpose(by_column))).view(torch.bool)


def encode_rle(mask: Bool[Tensor, "height width"]) -> Rle:
    """Return the compressed RLE of a mask, ready for JSON."""
    return _as_text(coco_mask.encode(np.asfortranarray(mask.cpu().numpy().astype(np.uint8))))


def _as_text(rle: Any) -> Rle:  # noqa: ANN401  # pycocotools' stubs call its bytes a string
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode()}


def rle_area(rle: Rle) -> int:
    """Return the number of pixels that a compressed RLE covers, without decoding it."""
    return int(coco_mask.area(rle))


def rle_box(rle: Rle) -> list[float]:
    """Return COCO's box of a compressed RLE: left, top, width, height."""
    return coco_mask.toBbox(rle).tolist()


def resize_masks(
    masks: UInt8[Tensor, "objects frames height width"], size: Size
) -> UInt8[Tensor, "objects frames new_height new_width"]:
    """Resize masks of 0, 1 and 255 by nearest neighbour, never losing an object.

    An object that is smaller than the grid would fall between its points: it keeps every pixel
    that it touches, for an empty mask would say that it is absent.
    """
    resized = F.interpolate(masks, size=size, mode="nearest-exact")
    lost = (masks == OBJECT).flatten(2).any(-1) & ~(resized == OBJECT).flatten(2).any(-1)
    if lost.any():
        touched = F.adaptive_max_pool2d((masks[lost] == OBJECT).float(), size) > BACKGROUND
        resized[lost] = resized[lost].masked_fill(touched, OBJECT)
    return resized
