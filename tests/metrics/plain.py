"""J, F and Dice of one frame in the plainest words: pixel by pixel, boundary by boundary."""

import math

import numpy as np


def plain_boundary(mask):
    """Return the pixels that differ from the right, lower or lower right pixel of the frame."""
    height, width = mask.shape
    return np.array(
        [
            (y, x)
            for y in range(height)
            for x in range(width)
            if any(
                mask[y, x] != mask[y + dy, x + dx]
                for dy, dx in ((0, 1), (1, 0), (1, 1))
                if y + dy < height and x + dx < width
            )
        ]
    )


def plain_share_matched(boundary, other, radius):
    squares = ((boundary[:, None] - other[None]) ** 2).sum(-1)
    return (squares.min(1) <= radius**2).mean()


def plain_scores(prediction, truth):
    """Return J, F and Dice as DAVIS defines them."""
    overlap = int((prediction & truth).sum())
    union = int((prediction | truth).sum())
    radius = math.ceil(0.008 * math.hypot(*truth.shape))
    ours, theirs = plain_boundary(prediction), plain_boundary(truth)
    if bool(len(ours)) != bool(len(theirs)):
        f = 0.0
    elif not len(ours):
        f = 1.0
    else:
        precision = plain_share_matched(ours, theirs, radius)
        recall = plain_share_matched(theirs, ours, radius)
        f = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return (
        (overlap / union if union else 1.0),
        f,
        (2 * overlap / (overlap + union) if union else 1.0),
    )
