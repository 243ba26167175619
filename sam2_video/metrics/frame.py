"""J, F and Dice of one object's mask on one frame, equal to the public evaluators' to the bit."""

import math
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

BOUNDARY_TOLERANCE = 0.008
"""How far boundaries may lie apart, as a share of the frame's diagonal (DAVIS)."""

_WINDOW = np.ones((2, 2), dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class FrameScore:
    """What one frame says of one object.

    `j` is the intersection over union, `f` the F-measure of the boundaries, `dice` twice the
    intersection over the sum of the areas; each is 1 where both masks are empty.
    """

    j: float
    f: float
    dice: float
    is_visible: bool
    is_predicted: bool


NOTHING_TO_SEE = FrameScore(1.0, 1.0, 1.0, is_visible=False, is_predicted=False)
"""The score of two empty masks."""


def boundary_radius(size: tuple[int, int]) -> int:
    """Return how many pixels apart two boundaries still match on a frame of (height, width).

    >>> boundary_radius((480, 854))
    8
    """
    height, width = size
    return math.ceil(BOUNDARY_TOLERANCE * math.sqrt(height**2 + width**2))


def score_frame(
    prediction: Bool[np.ndarray, "height width"], truth: Bool[np.ndarray, "height width"]
) -> FrameScore:
    """Compare a predicted mask with the true one, both at the truth's original size.

    Only the box around both masks is looked at: outside there is neither area nor boundary, and
    boundaries within it can only match each other.
    """
    predicted, true = (np.ascontiguousarray(mask).view(np.uint8) for mask in (prediction, truth))
    left, top, width, height = cv2.boundingRect(cv2.bitwise_or(predicted, true))
    if not width:
        return NOTHING_TO_SEE
    # a boundary pixel lies left of, above, or on the edge of its mask: one pixel of margin
    box = np.s_[max(top - 1, 0) : top + height + 1, max(left - 1, 0) : left + width + 1]
    predicted, true = predicted[box], true[box]
    overlap = cv2.countNonZero(cv2.bitwise_and(predicted, true))
    area, true_area = cv2.countNonZero(predicted), cv2.countNonZero(true)
    is_same = overlap == area == true_area
    return FrameScore(
        j=overlap / (area + true_area - overlap),
        f=1.0 if is_same else _f_measure(predicted, true, boundary_radius(truth.shape)),
        dice=2 * overlap / (area + true_area),
        is_visible=true_area > 0,
        is_predicted=area > 0,
    )


def _f_measure(
    predicted: UInt8[np.ndarray, "height width"],
    true: UInt8[np.ndarray, "height width"],
    radius: int,
) -> float:
    boundary, true_boundary = _boundary(predicted), _boundary(true)
    length, true_length = cv2.countNonZero(boundary), cv2.countNonZero(true_boundary)
    if not length or not true_length:
        # a mask of the whole frame has no boundary either
        return float(length == true_length)
    disk = _disk(radius)
    matched = cv2.countNonZero(cv2.bitwise_and(boundary, cv2.dilate(true_boundary, disk)))
    true_matched = cv2.countNonZero(cv2.bitwise_and(true_boundary, cv2.dilate(boundary, disk)))
    precision, recall = matched / length, true_matched / true_length
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _boundary(mask: UInt8[np.ndarray, "height width"]) -> UInt8[np.ndarray, "height width"]:
    """Return the pixels that differ from their right, lower or lower right neighbour.

    That is DAVIS' boundary: the largest and the smallest value of the 2x2 window differ, and
    nothing lies beyond the frame.
    """
    return cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, _WINDOW, anchor=(0, 0))


@cache
def _disk(radius: int) -> UInt8[np.ndarray, "side side"]:
    """Return the offsets (dy, dx) with dy^2 + dx^2 <= radius^2."""
    squares = np.arange(-radius, radius + 1) ** 2
    return (squares[:, None] + squares <= radius**2).astype(np.uint8)
