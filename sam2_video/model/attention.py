"""Attention of one head in blocks of queries, with values of any width: memory has 64 channels.

PyTorch's fused CPU kernel wants keys and values of one width, and in bfloat16 makes little of what
the processor can do. Here a block is two products of matrices and a softmax. Of a large attention
matrix neither pass holds more than a block, and the backward pass computes it again.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

KEPT_BYTES = 4 * 2**20
"""An object's attention matrix in bfloat16, up to which it is kept: a tenth less time a step at
256 px. In fp32 nothing was gained, and more memory taken."""
BLOCK_BYTES = 8 * 2**20
"""Of the attention matrix at once, at most; smaller products are slower."""
SMALL_BYTES = 2**18
"""What is computed together of a batch whose matrices are small."""


def attend(queries: Tensor, keys: Tensor, values: Tensor, dropout: float = 0.0) -> Tensor:
    """Return softmax(queries keys' / sqrt(channels)) values, batch by batch.

    Args:
        queries: [batch, queries, channels].
        keys: [batch, keys, channels].
        values: [batch, keys, value_channels].
        dropout: of the attention matrix.
    """
    if dropout == 0 and has_narrow_kernel(queries):
        is_half = queries.dtype == torch.bfloat16
        size = queries.shape[1] * keys.shape[1] * queries.element_size()
        if is_half and size <= KEPT_BYTES:
            scores = _product(queries * queries.shape[-1] ** -0.5, keys.transpose(1, 2))
            return _product(scores.softmax(-1), values)
        if is_half or values.shape[-1] < keys.shape[-1]:
            return _attend_in_blocks(queries, keys, values)
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
    return tensor.device.type == "cpu" and tensor.dtype in _DTYPES


_DTYPES = (torch.float32, torch.float64, torch.bfloat16)


@torch.library.custom_op("sam2_video::attend_in_blocks", mutates_args=())
def _attend_in_blocks(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    attended = queries.new_empty(*queries.shape[:2], values.shape[-1])
    scaled = queries * queries.shape[-1] ** -0.5
    for part, rows in _blocks(queries, keys):
        weights = _weights(scaled[part, rows], keys[part])
        attended[part, rows] = _product(weights, values[part])
    return attended


def _blocks(queries: Tensor, keys: Tensor) -> Iterator[tuple[slice, slice]]:
    """Yield which of the batch, and which of their queries, are computed at once."""
    batch, count = queries.shape[:2]
    whole = count * keys.shape[1] * keys.element_size()
    several = max(SMALL_BYTES // max(whole, 1), 1)
    # blocks of one size: the last one is not a remainder
    size = -(-count // max(-(-whole // BLOCK_BYTES), 1))
    for row in range(0, batch, several):
        for start in range(0, count, size):
            yield slice(row, row + several), slice(start, start + size)


def _weights(queries: Tensor, keys: Tensor) -> Tensor:
    """Return one block of the attention matrix."""
    scores = _product(queries, keys.transpose(1, 2))
    return torch.softmax(scores, dim=-1, out=scores)


def _product(first: Tensor, second: Tensor) -> Tensor:
    """Multiply matrices; of a batch of one in the kernel for one, which uses all cores."""
    if len(first) == 1:
        return torch.mm(first[0], second[0]).unsqueeze(0)
    return torch.bmm(first, second)


def _add_product(total: Tensor, first: Tensor, second: Tensor) -> None:
    if total.dtype != first.dtype:
        total.add_(_product(first, second))
    elif len(first) == 1:
        total[0].addmm_(first[0], second[0])
    else:
        total.baddbmm_(first, second)


@_attend_in_blocks.register_fake
def _(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:  # pyright: ignore[reportUnusedParameter]
    return queries.new_empty(*queries.shape[:2], values.shape[-1])


@torch.library.custom_op("sam2_video::attend_in_blocks_backward", mutates_args=())
def _attend_in_blocks_backward(
    gradient: Tensor, queries: Tensor, keys: Tensor, values: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    scale = queries.shape[-1] ** -0.5
    scaled = queries * scale
    of_queries = torch.empty_like(queries, memory_format=torch.contiguous_format)
    # sums over blocks lose nothing in half precision
    wide = torch.promote_types(keys.dtype, torch.float32)
    of_keys, of_values = (torch.zeros_like(x, dtype=wide) for x in (keys, values))
    for part, rows in _blocks(queries, keys):
        grad, query, key = gradient[part, rows], scaled[part, rows], keys[part]
        weights = _weights(query, key)
        _add_product(of_values[part], weights.transpose(1, 2), grad)
        of_scores = torch._softmax_backward_data(
            _product(grad, values[part].transpose(1, 2)), weights, -1, weights.dtype
        )
        of_queries[part, rows] = _product(of_scores, key)
        _add_product(of_keys[part], of_scores.transpose(1, 2), query)
    return of_queries.mul_(scale), of_keys.to(keys.dtype), of_values.to(values.dtype)


@_attend_in_blocks_backward.register_fake
def _(
    gradient: Tensor,  # pyright: ignore[reportUnusedParameter]
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(queries), torch.empty_like(keys), torch.empty_like(values)


def _keep_inputs(ctx: torch.autograd.function.FunctionCtx, inputs: tuple, output: Tensor) -> None:  # pyright: ignore[reportUnusedParameter]
    ctx.save_for_backward(*inputs)


def _backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple:
    return _attend_in_blocks_backward(gradient, *ctx.saved_tensors)  # pyright: ignore[reportAttributeAccessIssue]


_attend_in_blocks.register_autograd(_backward, setup_context=_keep_inputs)
