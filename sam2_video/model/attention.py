"""Attention of one head whose values are narrower than its keys: memory has 64 channels, not 256.

PyTorch's fused CPU kernel wants keys and values of one width. This one takes blocks of queries, so
that neither pass holds more than a block of the attention matrix, and computes that block again in
the backward pass in place of keeping it.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 128
"""Queries at once: their scores against 4,096 keys take 2 MB, about a core's second-level cache."""


def attend(queries: Tensor, keys: Tensor, values: Tensor, dropout: float = 0.0) -> Tensor:
    """Return softmax(queries keys' / sqrt(channels)) values, batch by batch.

    Args:
        queries: [batch, queries, channels].
        keys: [batch, keys, channels].
        values: [batch, keys, value_channels].
        dropout: of the attention matrix.
    """
    if dropout == 0 and has_narrow_kernel(queries) and values.shape[-1] < keys.shape[-1]:
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
    return tensor.device.type == "cpu" and tensor.dtype in (torch.float32, torch.float64)


@torch.library.custom_op("sam2_video::attend_in_blocks", mutates_args=())
def _attend_in_blocks(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    attended = queries.new_empty(*queries.shape[:2], values.shape[-1])
    scaled = queries * queries.shape[-1] ** -0.5
    for one, query, key, value in zip(attended, scaled, keys, values, strict=True):
        for rows, block in zip(one.split(BLOCK), query.split(BLOCK), strict=True):
            torch.mm(_weights(block, key), value, out=rows)
    return attended


def _weights(queries: Tensor, keys: Tensor) -> Tensor:
    """Return one block of the attention matrix."""
    scores = torch.mm(queries, keys.t())
    return torch.softmax(scores, dim=-1, out=scores)


@_attend_in_blocks.register_fake
def _(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:  # pyright: ignore[reportUnusedParameter]
    return queries.new_empty(*queries.shape[:2], values.shape[-1])


@torch.library.custom_op("sam2_video::attend_in_blocks_backward", mutates_args=())
def _attend_in_blocks_backward(
    gradient: Tensor, queries: Tensor, keys: Tensor, values: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    scale = queries.shape[-1] ** -0.5
    of_queries = torch.empty_like(queries, memory_format=torch.contiguous_format)
    of_keys, of_values = torch.zeros_like(keys), torch.zeros_like(values)
    for row in range(queries.shape[0]):
        key, value = keys[row], values[row]
        blocks = (tensor[row].split(BLOCK) for tensor in (gradient, queries * scale, of_queries))
        for grad, query, of_query in zip(*blocks, strict=True):
            weights = _weights(query, key)
            of_values[row].addmm_(weights.t(), grad)
            of_scores = torch._softmax_backward_data(
                torch.mm(grad, value.t()), weights, -1, weights.dtype
            )
            torch.mm(of_scores, key, out=of_query)
            of_keys[row].addmm_(of_scores.t(), query)
    return of_queries.mul_(scale), of_keys, of_values


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
