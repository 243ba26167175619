"""Draw how the colours of a clip change, and change them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sam2_video.augmentation import colour
from sam2_video.augmentation.presets import Strengths
from sam2_video.pixels import PIXEL_MEAN, PIXEL_STD
from sam2_video.structures import send

LEAST_SIGMA = 0.1


@dataclass(frozen=True)
class Jitter:
    """Changes of brightness, contrast, saturation and hue, in this order of columns.

    `order` is the one in which they are made. A column is None where it changes nothing.
    """

    factors: tuple[Float64[np.ndarray, " frames"] | None, ...]
    order: tuple[int, ...]


@dataclass(frozen=True)
class Look:
    """How the colours of a clip change: over the clip, then frame by frame, then blur and noise.

    `seed` is that of the noise.
    """

    clip: Jitter
    frame: Jitter
    is_grey: bool
    blur_sigma: float
    noise: float
    seed: np.random.SeedSequence

    @property
    def has_jitter(self) -> bool:
        """Return whether any factor is not 1."""
        return any(column is not None for column in self.clip.factors + self.frame.factors)

    @property
    def is_neutral(self) -> bool:
        """Return whether nothing changes."""
        return not (self.has_jitter or self.is_grey or self.blur_sigma or self.noise)


def draw_look(seed: np.random.SeedSequence, strengths: Strengths, num_frames: int) -> Look:
    """Draw a clip's look; further frames (padding) and a strength of 0 change no other draw."""
    of_clip, of_frames, of_noise = seed.spawn(3)
    generator = np.random.default_rng(of_clip)
    numbers = generator.random(8)
    orders = [tuple(generator.permutation(count).tolist()) for count in (4, 3)]
    over_clip = strengths.brightness, strengths.contrast, strengths.saturation
    each = strengths.frame_brightness, strengths.frame_contrast, strengths.frame_saturation
    by_frame = np.random.default_rng(of_frames).random((num_frames, 3)).T
    by_clip = np.repeat(numbers[:3, None], num_frames, axis=1)
    turns = np.full(num_frames, (2 * numbers[3] - 1) * strengths.hue)
    is_blurred = numbers[5] < strengths.blur and strengths.blur_sigma > 0
    sigma = LEAST_SIGMA + numbers[6] * max(strengths.blur_sigma - LEAST_SIGMA, 0.0)
    return Look(
        Jitter((*_factors(by_clip, over_clip), turns if strengths.hue else None), orders[0]),
        Jitter(_factors(by_frame, each), orders[1]),
        is_grey=bool(numbers[4] < strengths.grey),
        blur_sigma=float(sigma) if is_blurred else 0.0,
        noise=float(numbers[7]) * strengths.noise,
        seed=of_noise,
    )


def _factors(
    numbers: Float64[np.ndarray, "kinds frames"], strengths: tuple[float, ...]
) -> tuple[Float64[np.ndarray, " frames"] | None, ...]:
    """Return factors, drawn evenly from `1 - strength`, but not below 0, to `1 + strength`."""
    ranges = [(max(0.0, 1 - strength), 1 + strength) for strength in strengths]
    return tuple(
        low + column * (high - low) if high > 1 else None
        for column, (low, high) in zip(numbers, ranges, strict=True)
    )


def change_look(
    look: Look, pixels: Float[Tensor, "frames 3 height width"]
) -> Float[Tensor, "frames 3 height width"]:
    """Change the colours of a clip's normalised frames."""
    if look.is_neutral:
        return pixels
    mean, std = (pixels.new_tensor(values)[:, None, None] for values in (PIXEL_MEAN, PIXEL_STD))
    frames = (pixels * std).add_(mean)
    frames = _jitter(look.clip, frames)
    if look.is_grey:
        frames = colour.remove_colour(frames)
    frames = _jitter(look.frame, frames)
    if look.blur_sigma:
        frames = colour.blur(frames, look.blur_sigma)
    if look.noise:
        frames = _add_noise(look, frames)
    return frames.sub_(mean).div_(std)


CHANGES: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    colour.change_brightness,
    colour.change_contrast,
    colour.change_saturation,
    colour.turn_hue,
)


def _jitter(jitter: Jitter, frames: Tensor) -> Tensor:
    for kind in jitter.order:
        factors = jitter.factors[kind]
        if factors is not None:
            values = send(torch.from_numpy(factors).float(), frames.device)
            frames = CHANGES[kind](frames, values[:, None, None, None])
    return frames


def _add_noise(look: Look, frames: Tensor) -> Tensor:
    height, width = frames.shape[-2:]
    generator = np.random.default_rng(look.seed)
    field = torch.from_numpy(generator.standard_normal((3, height, width), dtype=np.float32))
    shifts = generator.integers(0, (height, width), (len(frames), 2)).tolist()
    return colour.add_noise(
        frames, send(field, frames.device), [(down, across) for down, across in shifts], look.noise
    )
