"""The colour of each object of a video: the same in pictures, movies and mask files."""

from collections.abc import Mapping

Colour = tuple[int, int, int]

# Okabe and Ito's palette for all common colour vision, without its black, the most distinct first,
# then the darker colours of Paul Tol's muted palette, which is made for the same. Objects beyond
# the last are told apart by their numbers.
OBJECT_COLOURS: tuple[Colour, ...] = (
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky blue
    (204, 121, 167),  # reddish purple
    (240, 228, 66),  # yellow
    (0, 114, 178),  # blue
    (213, 94, 0),  # vermillion
    (0, 158, 115),  # bluish green
    (136, 34, 85),  # wine
    (153, 153, 51),  # olive
    (51, 34, 136),  # indigo
    (136, 204, 238),  # cyan
    (221, 204, 119),  # sand
)


def object_colour(row: int) -> Colour:
    """Return the colour of the object at a row of the video's `object_ids`."""
    return OBJECT_COLOURS[row % len(OBJECT_COLOURS)]


def mask_palette(rows: Mapping[int, int]) -> list[int]:
    """Return red, green, blue of the labels 0 to 255 of a mask file.

    `rows` says which object of the video a label is; 0 is black, 255 white, other labels are grey.

    >>> mask_palette({4: 0})[:3], tuple(mask_palette({4: 0})[12:15]) == object_colour(0)
    ([0, 0, 0], True)
    """
    colours = dict.fromkeys(range(256), (128, 128, 128)) | {0: (0, 0, 0), 255: (255, 255, 255)}
    colours |= {label: object_colour(row) for label, row in rows.items()}
    return [part for label in range(256) for part in colours[label]]
