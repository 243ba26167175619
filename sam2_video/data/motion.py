"""Make a clip of one still image: smooth affine motion, the same for the image and its masks."""

from collections.abc import Iterable

import cv2
import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float64, UInt8
from torch import Tensor

from sam2_video.structures import IGNORE

# How far a parameter may swing: degrees, log of the scale, shear, shares of the longest side.
ROTATION, ZOOM, SHEAR, SHIFT = 20.0, 0.25, 0.12, 0.15
PERIOD = (12.0, 40.0)
"""Frames of a full swing: so slow that a frame resembles the one before."""


def draw_motion(seed: int, num_frames: int) -> Float64[np.ndarray, "frames 3 3"]:
    """Draw where each frame shows the image: one of them, evenly chosen, as it is.

    The matrices move points whose origin is the image's centre and whose unit is its longest side.
    Rotation, scale, shear and translation each follow a sine of their own amplitude, period and
    phase, so that a clip of any length neither jumps nor drifts away.
    """
    rng = np.random.default_rng(seed)
    limits = np.array([np.radians(ROTATION), ZOOM, SHEAR, SHIFT, SHIFT])
    amplitudes = limits * rng.uniform(0.2, 1, 5)
    turns = np.arange(num_frames)[:, None] / rng.uniform(*PERIOD, 5) + rng.uniform(0, 1, 5)
    paths = amplitudes * np.sin(2 * np.pi * turns)
    poses = np.stack([_pose(*values) for values in paths])
    anchor = int(rng.integers(num_frames))
    return poses @ np.linalg.inv(poses[anchor])


def _pose(
    turn: float, zoom: float, shear: float, right: float, down: float
) -> Float64[np.ndarray, "3 3"]:
    cos, sin = np.cos(turn), np.sin(turn)
    linear = np.exp(zoom) * np.array([[cos, -sin], [sin, cos]]) @ [[1, shear], [0, 1]]
    return np.block([[linear, np.array([[right], [down]])], [np.array([[0.0, 0.0, 1.0]])]])


def move_image(
    image: UInt8[Tensor, "3 height width"],
    motion: Float64[np.ndarray, "frames 3 3"],
    size: tuple[int, int],
) -> UInt8[Tensor, "frames 3 height width"]:
    """Show an image in each pose, its surroundings mirrored.

    Args:
        image: May have been decoded smaller than it is stored.
        motion: From `draw_motion`.
        size: Height and width as stored, which tell the sides' true proportion.
    """
    pixels = np.ascontiguousarray(rearrange(image.numpy(), "c h w -> h w c"))
    moved = [
        cv2.warpAffine(
            pixels,
            matrix,
            (pixels.shape[1], pixels.shape[0]),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        for matrix in _in_pixels(motion, (pixels.shape[0], pixels.shape[1]), size)
    ]
    return torch.from_numpy(rearrange(np.stack(moved), "t h w c -> t c h w"))


def move_masks(
    masks: UInt8[Tensor, "objects height width"], motion: Float64[np.ndarray, "frames 3 3"]
) -> UInt8[Tensor, "objects frames height width"]:
    """Show masks in each pose; what lies outside of the image is to be ignored."""
    height, width = masks.shape[1:]
    matrices = list(_in_pixels(motion, (height, width), (height, width)))
    moved = [
        [
            cv2.warpAffine(
                mask,
                matrix,
                (width, height),
                flags=cv2.INTER_NEAREST,
                borderMode=cv2.BORDER_CONSTANT,
                borderValue=(IGNORE,),
            )
            for matrix in matrices
        ]
        for mask in masks.numpy()
    ]
    return torch.from_numpy(np.array(moved, dtype=np.uint8))


def _in_pixels(
    motion: Float64[np.ndarray, "frames 3 3"], size: tuple[int, int], stored: tuple[int, int]
) -> Iterable[Float64[np.ndarray, "2 3"]]:
    """Return the matrices for an image of `size`, whose pixels' centres have whole coordinates."""
    height, width = size
    longest = max(stored)
    across, down = stored[1] / width / longest, stored[0] / height / longest
    to_unit = np.array(
        [
            [across, 0, (0.5 - width / 2) * across],
            [0, down, (0.5 - height / 2) * down],
            [0, 0, 1],
        ]
    )
    for matrix in motion:
        yield (np.linalg.inv(to_unit) @ matrix @ to_unit)[:2]
