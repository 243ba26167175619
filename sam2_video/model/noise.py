"""Dropout on a CPU by random numbers of 16 bits: PyTorch's own draws cost as much as the products.

The probability is rounded to a multiple of 2^-16, and what stays is scaled by what that comes to.
Numbers come from PyTorch's generator of the CPU, whose state runs save.
"""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

_LEVELS = 2**16
_NUMBERS_A_DRAW = 4


def scale_of_kept(dropout: float) -> float:
    """Return what a number that stays is multiplied with, so that the mean stays too."""
    return _LEVELS / max(_LEVELS - _threshold(dropout), 1)


def _threshold(dropout: float) -> int:
    return round(dropout * _LEVELS)


def draw_kept(shape: Sequence[int], dropout: float) -> Tensor:
    """Draw which numbers stay: booleans of a shape, on the CPU."""
    if _threshold(dropout) == _LEVELS:
        return torch.zeros(shape, dtype=torch.bool)
    count = prod(shape)
    draws = torch.empty(-(-count // _NUMBERS_A_DRAW), dtype=torch.int64)
    levels = draws.random_(-(2**63), None).view(torch.int16)[:count]
    return levels.view(shape).ge(_threshold(dropout) - _LEVELS // 2)


def drop(module: nn.Module, tensor: Tensor) -> Tensor:
    """Apply a module that is `nn.Dropout`, by draws of ours where the tensor lies on a CPU."""
    if (
        not isinstance(module, nn.Dropout)
        or not module.training
        or module.p == 0
        or tensor.device.type != "cpu"
        or torch.compiler.is_compiling()
    ):
        return module(tensor)
    return tensor * draw_kept(tensor.shape, module.p) * scale_of_kept(module.p)
