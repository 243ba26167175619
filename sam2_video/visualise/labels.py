"""Find places for the names of objects on a picture, where none hides another."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Int

from sam2_video.colours import Colour, object_colour

GLYPH_WIDTH = 0.72  # of the text size: wide enough for digits and most words in DejaVu Sans Bold
MOST_NAMED_BESIDE, MOST_PROMPT_WORDS = 12, 3
DISTANCE = 4  # pixels between an object and a label beside it

Extent = tuple[float, float, float, float]


@dataclass(frozen=True)
class Label:
    """Text on a ground of a colour, centred on a place of a picture."""

    text: str
    x: int
    y: int
    colour: Colour


def label_extent(label: Label, text_size: int) -> Extent:
    """Return left, top, right and bottom of the ground of a label."""
    half_width, half_height = _half_size(label.text, text_size)
    return (
        label.x - half_width,
        label.y - half_height,
        label.x + half_width,
        label.y + half_height,
    )


def _half_size(text: str, text_size: int) -> tuple[float, float]:
    return (GLYPH_WIDTH * len(text) + 0.4) * text_size / 2, 0.62 * text_size


def place_labels(
    masks: Bool[np.ndarray, "objects height width"], names: Sequence[str], text_size: int
) -> tuple[Label, ...]:
    """Name visible objects, the largest first: on them, or beside them if they are small and few.

    Args:
        masks: of the objects.
        names: of the objects; empty for one that needs none.
        text_size: in pixels.
    """
    is_few = np.count_nonzero(masks.any(axis=(1, 2))) <= MOST_NAMED_BESIDE

    def options(row: int) -> Iterator[Label]:
        if not names[row]:
            return
        label, room = _innermost(masks[row], names[row], row)
        if room > _half_size(names[row], text_size)[1]:
            yield label
        if is_few:
            yield from _beside(masks, names[row], row, text_size)

    return _choose(masks, options, text_size)


def place_prompt_labels(
    masks: Bool[np.ndarray, "objects height width"], names: Sequence[str], text_size: int
) -> tuple[Label, ...]:
    """Name visible objects as prompts, beside them; where that would hide another, on them.

    Args:
        masks: of the objects.
        names: of the objects; empty for one that needs none.
        text_size: in pixels.
    """
    has_words = np.count_nonzero(masks.any(axis=(1, 2))) <= MOST_PROMPT_WORDS

    def options(row: int) -> Iterator[Label]:
        if has_words:
            yield from _beside(masks, f"prompt {names[row]}".rstrip(), row, text_size)
        if names[row]:
            yield from _beside(masks, names[row], row, text_size)
            yield _innermost(masks[row], names[row], row)[0]

    return _choose(masks, options, text_size)


def _choose(
    masks: Bool[np.ndarray, "objects height width"],
    options: Callable[[int], Iterator[Label]],
    text_size: int,
) -> tuple[Label, ...]:
    """Return the first option of each object that is inside the picture and hides no other."""
    chosen: list[Label] = []
    taken: list[Extent] = []
    areas = masks.sum(axis=(1, 2))
    for row in map(int, np.argsort(-areas)[: np.count_nonzero(areas)]):
        for label in options(row):
            extent = label_extent(label, text_size)
            if _fits(extent, masks.shape[1:]) and not _meets(extent, taken):
                chosen.append(label)
                taken.append(extent)
                break
    return tuple(chosen)


def _innermost(mask: Bool[np.ndarray, "height width"], name: str, row: int) -> tuple[Label, float]:
    """Return a label where the object is farthest from its outside, and that distance."""
    padded = np.pad(mask.astype(np.uint8), 1)  # what lies beyond the edge is outside
    distances = cv2.distanceTransform(padded, cv2.DIST_L2, 5)
    y, x = np.unravel_index(distances.argmax(), distances.shape)
    return Label(name, int(x) - 1, int(y) - 1, object_colour(row)), float(distances.max())


def _beside(
    masks: Bool[np.ndarray, "objects height width"], name: str, row: int, text_size: int
) -> Iterator[Label]:
    """Yield labels at the object's four ends, those that cover no other object."""
    height, width = masks.shape[1:]
    half_width, half_height = _half_size(name, text_size)
    rows, columns = np.nonzero(masks[row])
    is_other = np.any(np.delete(masks, row, axis=0), axis=0)
    away_x, away_y = half_width + DISTANCE, half_height + DISTANCE
    ends = (
        (_middle(columns[rows == rows.min()], half_width, width), rows.min() - away_y),
        (_middle(columns[rows == rows.max()], half_width, width), rows.max() + away_y),
        (columns.min() - away_x, _middle(rows[columns == columns.min()], half_height, height)),
        (columns.max() + away_x, _middle(rows[columns == columns.max()], half_height, height)),
    )
    for x, y in ends:
        label = Label(name, round(x), round(y), object_colour(row))
        if not _covers(label_extent(label, text_size), is_other):
            yield label


def _middle(places: Int[np.ndarray, " pixels"], margin: float, length: int) -> float:
    """Return the median, moved so that a label around it is inside the picture."""
    return min(max(float(np.median(places)), margin), length - margin)


def _fits(extent: Extent, size: tuple[int, ...]) -> bool:
    left, top, right, bottom = extent
    return left >= 0 and top >= 0 and right <= size[1] and bottom <= size[0]


def _covers(extent: Extent, mask: Bool[np.ndarray, "height width"]) -> bool:
    left, top, right, bottom = (max(round(side), 0) for side in extent)
    return bool(mask[top:bottom, left:right].any())


def _meets(extent: Extent, others: Sequence[Extent]) -> bool:
    left, top, right, bottom = extent
    return any(
        left < other[2] and other[0] < right and top < other[3] and other[1] < bottom
        for other in others
    )
