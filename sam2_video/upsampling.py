"""Bilinear upsampling of mask logits, whose gradient on a CPU is two products of matrices.

Upsampling is linear along each axis. PyTorch's own gradient visits pixel by pixel there, and takes
three to five times as long.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def upsample(
    logits: Float[Tensor, "images channels _height _width"], size: Sequence[int]
) -> Float[Tensor, "images channels height width"]:
    """Return logits at (height, width)."""
    if logits.device.type == "cpu" and not torch.compiler.is_compiling():
        return _Upsample.apply(logits, tuple(size))
    return _interpolate(logits, size)


def gradient_of_upsample(
    gradient: Float[Tensor, "images channels height width"], size: Sequence[int]
) -> Float[Tensor, "images channels _height _width"]:
    """Return the gradient of what was upsampled, of (height, width), from that of the outcome."""
    if gradient.device.type != "cpu":
        shape = (*gradient.shape[:2], *size)
        return torch.ops.aten.upsample_bilinear2d_backward(
            gradient, gradient.shape[-2:], shape, align_corners=False
        )
    rows, columns = (
        _weights(small, large, gradient.dtype)
        for small, large in zip(size, gradient.shape[-2:], strict=True)
    )
    with torch.autocast("cpu", enabled=False):
        # columns first: all of the images' rows are then one matrix
        return rows.T @ (gradient @ columns)


class _Upsample(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, size: Sequence[int]) -> Tensor:  # noqa: ANN401
        ctx.size = logits.shape[-2:]
        return _interpolate(logits, size)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401 # pyright: ignore[reportIncompatibleMethodOverride]
        return gradient_of_upsample(gradient, ctx.size), None


@lru_cache(maxsize=16)
def _weights(small: int, large: int, dtype: torch.dtype) -> Float[Tensor, "large small"]:
    """Return what an axis of one length is multiplied with to be of another."""
    with torch.inference_mode(False):
        return _interpolate(torch.eye(small, dtype=dtype)[None, None], (large, small))[0, 0]


def _interpolate(logits: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(logits, size=list(size), mode="bilinear", align_corners=False)
