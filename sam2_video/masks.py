"""Read, decode, encode and resize masks whose values keep their meaning."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from PIL import Image
from pycocotools import mask as coco_mask
from torch import Tensor
from torch.nn import functional as F

from sam2_video.structures import BACKGROUND, IGNORE, OBJECT

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
    image = _load(path, size)
    if image.mode == "P":
        return _count(image)
    return mask_areas(_read_values(path, image, colour_palette))


def _load(path: Path, size: Size) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, SyntaxError) as error:  # Pillow reports a broken PNG as a SyntaxError
        raise ValueError(
            f"{path}: the mask cannot be read ({error}); write or copy the file again"
        ) from error
    height, width = size
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
    counts = picture.crop(picture.getbbox() or (0, 0, 0, 0)).histogram()
    return {value: counts[value] for value in range(1, IGNORE) if counts[value]}


def separate_objects(
    mask: UInt8[Tensor, "height width"], object_ids: Sequence[int]
) -> UInt8[Tensor, "objects height width"]:
    """Return a mask of 0, 1 and 255 for each object; ignored pixels are ignored for all.

    >>> separate_objects(torch.tensor([[0, 2, 255]], dtype=torch.uint8), [1, 2]).tolist()
    [[[0, 0, 255]], [[0, 1, 255]]]
    """
    ids = torch.tensor(list(object_ids), dtype=torch.uint8)
    separate = (mask[None] == ids[:, None, None]).view(torch.uint8)
    return separate.masked_fill_(mask == IGNORE, IGNORE)


def check_segmentation(segmentation: object, where: str) -> None:
    """Refuse what is neither compressed RLE, uncompressed RLE nor polygons.

    Args:
        segmentation: The field of a COCO annotation.
        where: File and annotation, for the message.
    """
    if isinstance(segmentation, dict):
        missing = {"size", "counts"} - segmentation.keys()
        if missing or not _is_counts(segmentation["counts"]):
            raise ValueError(
                f"{where}: the RLE needs `size` and `counts` (a string, or a list of whole "
                f"numbers), got the keys {sorted(segmentation)}; export the masks again as COCO RLE"
            )
        return
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError(
            f"{where}: segmentation {str(segmentation)[:40]!r} is neither RLE nor polygons; export "
            "masks (not only boxes), or remove the annotation where the object is absent"
        )
    for polygon in segmentation:
        if not _is_polygon(polygon):
            raise ValueError(
                f"{where}: {str(polygon)[:40]!r} is no polygon; expected a list "
                "[x1, y1, x2, y2, x3, y3, ...] of at least 3 points"
            )


def _is_counts(counts: object) -> bool:
    is_runs = isinstance(counts, list) and all(type(run) is int for run in counts)
    return isinstance(counts, str) or is_runs


def _is_polygon(points: object) -> bool:
    return (
        isinstance(points, list)
        and len(points) >= 6
        and len(points) % 2 == 0
        and all(type(number) in (int, float) for number in points)
    )


def segmentation_to_rle(segmentation: object, size: Size, where: str) -> Rle:
    """Return a COCO segmentation of any form as compressed RLE.

    Args:
        segmentation: RLE or polygons, as `check_segmentation` accepts them.
        size: Height and width of the image.
        where: File and annotation, for messages.
    """
    height, width = size
    check_segmentation(segmentation, where)
    if isinstance(segmentation, list):
        return _as_text(coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width)))
    assert isinstance(segmentation, dict)
    if segmentation["size"] != [height, width]:
        raise ValueError(
            f"{where}: the RLE has size {segmentation['size']}, its image is "
            f"[{height}, {width}] (height, width); export masks at the size of the frames"
        )
    counts = segmentation["counts"]
    runs = np.asarray(counts) if isinstance(counts, list) else _runs(counts, where)
    # pycocotools decodes runs that end early into uninitialised memory, without an error.
    if runs.dtype != np.int64 or runs.min() < 0 or runs.sum() != height * width:
        raise ValueError(
            f"{where}: the RLE is damaged: its runs must be whole numbers that add up to "
            f"{height * width} pixels; export the masks again"
        )
    if isinstance(counts, list):
        uncompressed: Any = {"size": [height, width], "counts": counts}
        return _as_text(coco_mask.frPyObjects(uncompressed, height, width))
    return {"size": [height, width], "counts": counts}


def _runs(counts: str, where: str) -> Int[np.ndarray, " runs"]:
    """Return the runs of a compressed RLE string.

    Each run is groups of 5 bits, the lowest first, a sixth bit where another group follows; from
    the fourth run on it is stored as the difference to the last but one.
    """
    codes = np.frombuffer(counts.encode(), dtype=np.uint8).astype(np.int64) - 48
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise ValueError(
            f"{where}: the RLE is damaged: `counts` is {counts[:20]!r}...; export the masks again"
        )
    ends = np.flatnonzero((codes & 32) == 0)
    starts = np.append(0, ends[:-1] + 1)
    lengths = ends - starts + 1
    shifts = 5 * (np.arange(len(codes)) - np.repeat(starts, lengths))
    runs = np.add.reduceat((codes & 31) << shifts, starts)
    runs -= np.where(codes[ends] & 16, 1 << 5 * lengths, 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs


def is_closed_rle(counts: str) -> bool:
    """Say whether a compressed RLE string ends with a run, so that it can be measured safely."""
    return bool(counts) and counts.isascii() and not (ord(counts[-1]) - 48) & 32


def decode_rle(rle: Rle) -> Bool[Tensor, "height width"]:
    """Return the pixels that a compressed RLE covers."""
    return torch.from_numpy(np.ascontiguousarray(coco_mask.decode(rle))).bool()


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
