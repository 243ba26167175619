"""Paint objects and their prompts over a frame, at the size at which it is shown."""

from collections.abc import Sequence

import cv2
import numpy as np
from einops import rearrange
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from sam2_video.colours import object_colour

Picture = UInt8[np.ndarray, "height width 3"]
Masks = Bool[np.ndarray, "objects height width"]

FILL_OPACITY = 0.5
LINE_WIDTH, HALO_WIDTH = 2, 4
STRIPE_WIDTH = 5
BLOCKY_FROM = 4  # pixels of frames that are enlarged so many times are shown as they are
STRIPES = (235, 105)


def fit_frame(
    frame: UInt8[Tensor, "3 _height _width"], size: tuple[int, int]
) -> UInt8[np.ndarray, "height width 3"]:
    """Return a frame at `size` (height, width)."""
    pixels = np.ascontiguousarray(rearrange(frame.numpy(), "c h w -> h w c"))
    method = _interpolation(pixels.shape, size, cv2.INTER_CUBIC)
    return cv2.resize(pixels, size[::-1], interpolation=method).astype(np.uint8)


def fit_masks(
    masks: Bool[Tensor, "objects _height _width"], size: tuple[int, int]
) -> Bool[np.ndarray, "objects height width"]:
    """Return masks at `size` (height, width); what would be lost keeps the pixels it touches."""
    fitted = np.zeros((len(masks), *size), dtype=bool)
    method = _interpolation(masks.shape[1:], size, cv2.INTER_LINEAR)
    for row, mask in enumerate(masks.numpy()):
        if mask.any():
            cover = cv2.resize(mask.astype(np.float32), size[::-1], interpolation=method)
            fitted[row] = cover >= min(0.5, cover.max())
    return fitted


def _interpolation(old: Sequence[int], new: tuple[int, int], smooth: int) -> int:
    """Return the averaging that shrinks, a smooth one that enlarges, or none for tiny pictures."""
    if old[0] > new[0] or old[1] > new[1]:
        return cv2.INTER_AREA
    return cv2.INTER_NEAREST if new[0] >= BLOCKY_FROM * old[0] else smooth


def paint_masks(picture: Picture, masks: Masks, *, is_filled: bool = True) -> Picture:
    """Return the picture with each object as a translucent fill and a crisp contour."""
    painted = picture.copy()
    # small objects last, so that none disappears under the fill of another
    for row in map(int, np.argsort(-masks.sum(axis=(1, 2)))) if is_filled else ():
        below = painted[masks[row]]
        mixed = below + FILL_OPACITY * (np.array(object_colour(row)) - below)
        painted[masks[row]] = mixed.round().astype(np.uint8)
    outlines = [
        cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[0]
        for mask in masks
    ]
    for contours in outlines:
        cv2.drawContours(painted, contours, -1, (0, 0, 0), HALO_WIDTH, cv2.LINE_AA)
    for row, contours in enumerate(outlines):
        cv2.drawContours(painted, contours, -1, object_colour(row), LINE_WIDTH, cv2.LINE_AA)
    return painted


def paint_box(picture: Picture, corners: Float[np.ndarray, "2 2"], row: int) -> Picture:
    """Return the picture with a box, given as two corners (x, y), in the colour of an object."""
    painted = picture.copy()
    first, last = corners.round().astype(int).tolist()
    cv2.rectangle(painted, first, last, (0, 0, 0), HALO_WIDTH, cv2.LINE_AA)
    cv2.rectangle(painted, first, last, object_colour(row), LINE_WIDTH, cv2.LINE_AA)
    return painted


def paint_clicks(
    picture: Picture,
    points: Float[np.ndarray, "points 2"],
    is_positive: Bool[np.ndarray, " points"],
    row: int,
) -> Picture:
    """Return the picture with clicks (x, y): a plus on a disc of the object's colour, or a minus.

    What is no part of the object is clicked with a white disc and a minus.
    """
    painted = picture.copy()
    for (x, y), is_plus in zip(
        points.round().astype(int).tolist(), is_positive.tolist(), strict=True
    ):
        colour = object_colour(row) if is_plus else (255, 255, 255)
        ring = (255, 255, 255) if is_plus else object_colour(row)
        cv2.circle(painted, (x, y), 10, (0, 0, 0), cv2.FILLED, cv2.LINE_AA)
        cv2.circle(painted, (x, y), 9, ring, cv2.FILLED, cv2.LINE_AA)
        cv2.circle(painted, (x, y), 7, colour, cv2.FILLED, cv2.LINE_AA)
        cv2.line(painted, (x - 4, y), (x + 4, y), (0, 0, 0), LINE_WIDTH)
        if is_plus:
            cv2.line(painted, (x, y - 4), (x, y + 4), (0, 0, 0), LINE_WIDTH)
    return painted


def hatch(height: int, width: int) -> Picture:
    """Return grey diagonal stripes, which stand for pixels that are ignored."""
    rows, columns = np.indices((height, width))
    stripe = (rows + columns) // STRIPE_WIDTH % 2
    return np.repeat(np.array(STRIPES, dtype=np.uint8)[stripe][..., None], 3, axis=2)


def paint_ignored(picture: Picture, ignored: Bool[np.ndarray, "height width"]) -> Picture:
    """Return the picture with ignored pixels hatched."""
    return np.where(ignored[..., None], hatch(*ignored.shape), picture)


def wash_out(picture: Picture) -> Picture:
    """Return the picture pale and grey: a frame of which nothing is known."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, axis=2)
    return (255 - (255 - grey.astype(np.float32)) * 0.35).astype(np.uint8)
