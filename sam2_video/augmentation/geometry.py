"""Draw where the pixels of an augmented clip come from: flips, affine map and crop as one."""

import hashlib
import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from sam2_video.augmentation.presets import Strengths

MOST_STRETCH = 4 / 3
"""Largest change of a crop's aspect ratio."""

Linear = Float64[np.ndarray, "2 2"]


@dataclass(frozen=True)
class Geometry:
    """Where each place of the new frames lies in the old ones: the same for all of a clip.

    Places are (x, y) from -1 to 1 between the outer edges of the image. `to_source` is the affine
    map of them, flips left out; None where it changes nothing.
    """

    has_horizontal_flip: bool
    has_vertical_flip: bool
    to_source: Float64[np.ndarray, "2 3"] | None

    @property
    def flips_only(self) -> "Geometry":
        """Return the same without the affine map: nothing can leave the frame."""
        return replace(self, to_source=None)

    @property
    def flips(self) -> tuple[int, int]:
        """Return -1 for each of x and y that is mirrored, else 1."""
        return 1 - 2 * self.has_horizontal_flip, 1 - 2 * self.has_vertical_flip


def draw_geometry(
    generator: np.random.Generator, strengths: Strengths, size: tuple[int, int]
) -> Geometry:
    """Draw a clip's geometry; a strength of 0 changes none of the other draws.

    Args:
        generator: Of this clip and of nothing else.
        strengths: How much.
        size: Height and width of the video itself: it is turned as it was filmed, however the
            model's input is stretched.
    """
    flip_x, flip_y, *numbers = generator.random(11).tolist()
    signed = [2 * number - 1 for number in numbers]
    turn, slant, zoom, shift_x, shift_y = signed[:5]
    is_still = not (strengths.degrees or strengths.shear or strengths.scale or strengths.translate)
    to_source = None
    if not is_still or strengths.crop < 1:
        forward = _turn_shear_zoom(
            math.radians(turn * strengths.degrees),
            math.radians(slant * strengths.shear),
            (1 + strengths.scale) ** zoom,
        )
        # turning is turning only where x and y have one unit
        half_sides = np.array([size[1], size[0]], dtype=np.float64)
        backward = np.linalg.inv(forward) * half_sides / half_sides[:, None]
        shift = 2 * strengths.translate * np.array([shift_x, shift_y])
        zoom_in, centre = _crop(strengths.crop, numbers[5], signed[6], signed[7], signed[8])
        to_source = np.column_stack([backward * zoom_in, backward @ (centre - shift)])
    return Geometry(flip_x < strengths.horizontal_flip, flip_y < strengths.vertical_flip, to_source)


def draw_variant(
    video_id: str, variant: int, strengths: Strengths, size: tuple[int, int]
) -> Geometry:
    """Return one of the fixed geometries in which a video is encoded beforehand.

    They depend on the video's name alone, so that runs with other seeds can share them. Variant 0
    changes nothing: no object can be out of its view.
    """
    if variant == 0:
        return Geometry(has_horizontal_flip=False, has_vertical_flip=False, to_source=None)
    name = hashlib.sha256(video_id.encode("utf-8", "surrogateescape")).digest()
    generator = np.random.default_rng([int.from_bytes(name[:8], "little"), variant])
    return draw_geometry(generator, strengths, size)


def _turn_shear_zoom(turn: float, slant: float, zoom: float) -> Linear:
    """Return the map from old to new, in the order of torchvision's RandomAffine."""
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    return zoom * rotation @ np.array([[1.0, -math.tan(slant)], [0.0, 1.0]])


def _crop(
    smallest: float, number: float, stretch: float, x: float, y: float
) -> tuple[Float64[np.ndarray, " 2"], Float64[np.ndarray, " 2"]]:
    """Return the sides of a crop, as shares of the frame's, and its centre.

    Its area is drawn evenly from `smallest` to 1, its aspect ratio as far from the frame's as fits.
    """
    area = 1 - number * (1 - smallest)
    ratio = min(MOST_STRETCH, 1 / area) ** stretch
    sides = np.sqrt([area * ratio, area / ratio])
    return sides, (1 - sides) * (x, y)
