"""Attention of one head, by the kernel that suits device, precision and widths.

PyTorch's fused CPU kernel wants keys and values of one width (memory has 64 channels, keys 256),
computes the matrix twice, makes little in bfloat16 of what the processor can do, and has no
dropout.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F

from sam2_video.model.cpu_attention import attend_and_keep, attend_in_blocks

KEPT_BYTES = 32 * 2**20
"""An object's attention matrix up to which it may be kept: that of 1024 queries (512 px) and all
seven memories in fp32."""


def attend(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    dropout: float = 0.0,
    *,
    is_matrix_kept: bool = True,
) -> Tensor:
    """Return softmax(queries keys' / sqrt(channels)) values, batch by batch.

    Args:
        queries: [batch, queries, channels].
        keys: [batch, keys, channels].
        values: [batch, keys, value_channels].
        dropout: of the attention matrix.
        is_matrix_kept: for the backward pass, where that is faster; with dropout it always is.
    """
    if has_narrow_kernel(queries):
        if dropout:
            return attend_and_keep(queries, keys, values, dropout)
        size = queries.shape[1] * keys.shape[1] * queries.element_size()
        if is_matrix_kept and torch.is_grad_enabled() and size <= KEPT_BYTES:
            return attend_and_keep(queries, keys, values, 0.0)
        if queries.dtype == torch.bfloat16 or values.shape[-1] < keys.shape[-1]:
            return attend_in_blocks(queries, keys, values)
    # PyTorch's fused kernels are for several heads, and take the last axis as it lies in memory
    attended = F.scaled_dot_product_attention(
        queries.unsqueeze(1), keys.unsqueeze(1), values.unsqueeze(1), dropout_p=dropout
    )
    return attended.squeeze(1)


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
