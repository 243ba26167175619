"""Check COCO's masks, run lengths and polygons, before C code that trusts them sees them."""

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

MOST_OUTLINE = 2**22
"""Pixels along the polygons of an annotation: C code holds 5 points for each in memory."""

_RUN_LETTERS = re.compile("[0-o]+")
# of 5 bits each: more than any image needs, and no more than 64 bits hold
_MOST_GROUPS = 7


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
                f"numbers), got the keys {str(sorted(segmentation))[:80]}; export the masks again "
                "as COCO RLE"
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


def check_outline(polygons: Sequence[Sequence[int | float]], where: str) -> None:
    """Refuse polygons that walk further than any outline does, or to no place at all.

    pycocotools turns coordinates into 32-bit numbers without looking, and holds every pixel that
    the outline passes.

    Raises:
        ValueError: a coordinate is not finite or far away, or the outline is too long.
    """
    length = 0.0
    for polygon in polygons:
        try:
            points = np.asarray(polygon, dtype=np.float64).reshape(-1, 2)
        except OverflowError:  # a whole number of more than 308 digits
            points = np.full((1, 2), np.inf)
        # not `>`: what is not a number compares as false
        is_near = bool(np.abs(points).max() <= MOST_OUTLINE)
        if is_near:
            steps = np.abs(points - np.roll(points, 1, axis=0)).max(axis=1)
            length += float(steps.sum())
        if not is_near or length > MOST_OUTLINE:
            raise ValueError(
                f"{where}: a polygon has coordinates that are no numbers of pixels, or an outline "
                f"of more than {MOST_OUTLINE:,} pixels; export the annotation again"
            )


def checked_runs(counts: str | list[int], num_pixels: int, where: str) -> Int[np.ndarray, " runs"]:
    """Return the runs of an RLE of either form, which fill an image exactly.

    pycocotools decodes runs that end early into uninitialised memory, without an error.

    Raises:
        ValueError: they do not.
    """
    if isinstance(counts, str) and not is_closed_rle(counts):
        raise ValueError(
            f"{where}: the RLE is damaged: `counts` is {counts[:20]!r}...; export the masks again"
        )
    runs = np.asarray(counts) if isinstance(counts, list) else _runs(counts)
    # each by itself first: the sum of 64-bit numbers may wrap around
    is_inside = runs.dtype == np.int64 and 0 <= runs.min() <= runs.max() <= num_pixels
    if not is_inside or runs.sum() != num_pixels:
        raise ValueError(
            f"{where}: the RLE is damaged: its runs must be whole numbers that add up to "
            f"{num_pixels} pixels; export the masks again"
        )
    return runs


def _runs(counts: str) -> Int[np.ndarray, " runs"]:
    """Return the runs of a compressed RLE string.

    Each run is groups of 5 bits, the lowest first, a sixth bit where another group follows; from
    the fourth run on it is stored as the difference to the last but one.
    """
    codes = np.frombuffer(counts.encode(), dtype=np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero((codes & 32) == 0)
    starts = np.append(0, ends[:-1] + 1)
    lengths = ends - starts + 1
    if lengths.max() > _MOST_GROUPS:
        return np.array([-1])
    shifts = 5 * (np.arange(len(codes)) - np.repeat(starts, lengths))
    runs = np.add.reduceat((codes & 31) << shifts, starts)
    runs -= np.where(codes[ends] & 16, 1 << 5 * lengths, 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs


def is_closed_rle(counts: str) -> bool:
    """Say whether a compressed RLE string is whole runs, so that C code stays inside it.

    Another letter, above all NUL, ends the text for one half of pycocotools and not for the other,
    which then writes beyond the memory that the first half has asked for.
    """
    return _RUN_LETTERS.fullmatch(counts) is not None and not (ord(counts[-1]) - 48) & 32
