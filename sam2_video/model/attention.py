"""Attention of one head, by the kernel that suits device, precision and widths.

PyTorch's fused CPU kernel wants keys and values of one width (memory has 64 channels, keys 256),
computes the matrix twice, makes little in bfloat16 of what the processor can do, and has no
dropout.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from sam2_video.model.cpu_attention import (
    attend_and_keep,
    attend_in_blocks,
    attention_and_matrix,
)

KEPT_BYTES = 32 * 2**20
"""An object's attention matrix up to which it may be kept: that of 1024 queries (512 px) and all
seven memories in fp32."""
FEW_KEYS = 5.5
"""Keys to a query, at most: those of five memories and their pointers."""
KeptMatrices = Literal["all", "few", "none"]


def attend(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    dropout: float = 0.0,
    *,
    kept: KeptMatrices = "all",
) -> Tensor:
    """Return softmax(queries keys' / sqrt(channels)) values, batch by batch.

    Args:
        queries: [batch, queries, channels].
        keys: [batch, keys, channels].
        values: [batch, keys, value_channels].
        dropout: of the attention matrix.
        kept: which attention matrices are kept for the backward pass, where that is faster: those
            of few keys as what a selective checkpoint finds again. With dropout each is kept.
    """
    if has_narrow_kernel(queries):
        if dropout:
            return attend_and_keep(queries, keys, values, dropout)
        if torch.is_grad_enabled() and _may_be_kept(queries, keys, kept):
            if kept == "few":
                return attention_and_matrix(queries, keys, values, 0.0)[0]
            return attend_and_keep(queries, keys, values, 0.0)
        if queries.dtype == torch.bfloat16 or values.shape[-1] < keys.shape[-1]:
            return attend_in_blocks(queries, keys, values)
    # PyTorch's fused kernels are for several heads, and take the last axis as it lies in memory
    attended = F.scaled_dot_product_attention(
        queries.unsqueeze(1), keys.unsqueeze(1), values.unsqueeze(1), dropout_p=dropout
    )
    return attended.squeeze(1)


def _may_be_kept(queries: Tensor, keys: Tensor, kept: KeptMatrices) -> bool:
    if kept == "none" or (kept == "few" and keys.shape[1] > FEW_KEYS * queries.shape[1]):
        return False
    return queries.shape[1] * keys.shape[1] * queries.element_size() <= KEPT_BYTES


def has_narrow_kernel(tensor: Tensor) -> bool:
    """Say whether values narrower than keys are faster where this tensor lies.

    On CUDA they would cost the flash kernel. In 16 bits it takes keys of 256 channels, also
    backward (on consumer cards only without dropout), but values of no other width; cuDNN's kernel,
    on data-centre cards, takes narrower ones only forward. What is left are the memory-efficient
    kernel and flex attention. `benchmarks/attention.py` measures them; until then flash it is.
    """
    device = _as_on[-1] or tensor.device.type
    return device == "cpu" and tensor.dtype in _DTYPES


_DTYPES = (torch.float32, torch.float64, torch.bfloat16)
_as_on: list[str | None] = [None]
"""A list, for compilers know no context variables."""


@contextmanager
def kernels_of(device: str) -> Iterator[None]:
    """Choose kernels as on a device of another type: for tensors without content."""
    _as_on.append(device)
    try:
        yield
    finally:
        _as_on.pop()
