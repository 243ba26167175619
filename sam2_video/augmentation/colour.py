"""Brightness, contrast, saturation, hue, blur and noise of frames, as Pillow defines them.

Frames are RGB from 0 to 1, not rounded to 8 bits in between; a factor a frame, 1 = as it is.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

Frames = Float[Tensor, "frames 3 height width"]
Factors = Float[Tensor, "frames 1 1 1"]

# Pillow's lightness (ITU-R 601-2), by which it also takes colours away
RED, GREEN, BLUE = 0.299, 0.587, 0.114


def lightness(frames: Frames) -> Float[Tensor, "frames 1 height width"]:
    """Return the frames without colour, as one channel."""
    red, green, blue = frames.split(1, dim=1)
    return (RED * red).add_(green, alpha=GREEN).add_(blue, alpha=BLUE)


def change_brightness(frames: Frames, factors: Factors) -> Frames:
    """Mix each frame with black."""
    return (frames * factors).clamp_(0, 1)


def change_contrast(frames: Frames, factors: Factors) -> Frames:
    """Mix each frame with the mean of its lightness."""
    mean = lightness(frames.mean((2, 3), keepdim=True))
    return (frames * factors).add_((1 - factors) * mean).clamp_(0, 1)


def change_saturation(frames: Frames, factors: Factors) -> Frames:
    """Mix each frame with itself without colour."""
    return torch.lerp(lightness(frames), frames, factors).clamp_(0, 1)


def turn_hue(frames: Frames, turns: Factors) -> Frames:
    """Turn the hue of each frame on the circle of HSV; a turn of 1 is all around."""
    value, low = frames.amax(1, keepdim=True), frames.amin(1, keepdim=True)
    chroma = value - low
    red, green, blue = frames.split(1, dim=1)
    divisor = chroma.masked_fill(chroma == 0, 1)
    hue = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    # red, green and blue lie at 0, 2 and 4 on the circle of 6: full within 1 of it, none from 2 on
    centres = torch.tensor([5.0, 3.0, 1.0], device=frames.device)[:, None, None]
    distance = (hue + 6 * turns + centres) % 6
    return value - chroma * torch.minimum(distance, 4 - distance).clamp_(0, 1)


def remove_colour(frames: Frames) -> Frames:
    """Return grey frames, still of three channels."""
    return lightness(frames).expand_as(frames).clone()


def blur(frames: Frames, sigma: float) -> Frames:
    """Blur by a Gaussian of `sigma` pixels, cut at 3 sigma, the image mirrored at its edges.

    Added up shift by shift: a convolution would be rounded to TF32 on a GPU.
    """
    shortest = min(frames.shape[-2:])
    radius = min(math.ceil(3 * sigma), shortest - 1)
    weights = [math.exp(-0.5 * (step / sigma) ** 2) for step in range(-radius, radius + 1)]
    shares = [weight / sum(weights) for weight in weights]
    padded = F.pad(frames, (radius, radius, radius, radius), mode="reflect")
    return _mix_shifts(_mix_shifts(padded, shares, dim=2), shares, dim=3)


def _mix_shifts(images: Tensor, shares: Sequence[float], dim: int) -> Tensor:
    length = images.shape[dim] - len(shares) + 1
    total = shares[0] * images.narrow(dim, 0, length)
    for start, share in enumerate(shares[1:], start=1):
        total.add_(images.narrow(dim, start, length), alpha=share)
    return total


def add_noise(
    frames: Frames,
    field: Float[Tensor, "3 height width"],
    shifts: Sequence[tuple[int, int]],
    deviation: float,
) -> Frames:
    """Add one field of normal numbers to all frames, rolled to another place on each."""
    noise = torch.stack([field.roll(shift, dims=(1, 2)) for shift in shifts])
    return noise.mul_(deviation).add_(frames).clamp_(0, 1)
