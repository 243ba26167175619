"""Attention in blocks as operations with gradients, for PyTorch and for its compilers."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sam2_video.model.attention_blocks import (
    attend_with_matrix,
    attend_without_matrix,
    gradients_of_attention,
)


@torch.library.custom_op("sam2_video::attend_in_blocks", mutates_args=())
def attend_in_blocks(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Return softmax(queries keys' / sqrt(channels)) values, and keep no attention matrix."""
    return attend_without_matrix(queries, keys, values)


def attend_and_keep(queries: Tensor, keys: Tensor, values: Tensor, dropout: float) -> Tensor:
    """Return the same, with dropout; the attention matrix is kept for the backward pass."""
    if torch.compiler.is_compiling():
        return attention_and_matrix(queries, keys, values, dropout)[0]
    return _Attention.apply(queries, keys, values, dropout)


class _Attention(torch.autograd.Function):
    """What compilers see as an operation, without what that costs in each call."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        dropout: float,
    ) -> Tensor:
        attended, kept = attend_with_matrix(queries, keys, values, dropout)
        ctx.save_for_backward(queries, keys, values, kept)
        ctx.dropout = dropout
        return attended

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 # pyright: ignore[reportIncompatibleMethodOverride]
        kept = ctx.saved_tensors
        return *gradients_of_attention(*gradients, *kept, dropout=ctx.dropout), None


@torch.library.custom_op(
    "sam2_video::attend_and_keep", mutates_args=(), tags=(torch.Tag.nondeterministic_seeded,)
)
def attention_and_matrix(
    queries: Tensor, keys: Tensor, values: Tensor, dropout: float
) -> tuple[Tensor, Tensor]:
    """Return what `attend_and_keep` does, and what it keeps, as one operation."""
    return attend_with_matrix(queries, keys, values, dropout)


@torch.library.custom_op("sam2_video::attend_in_blocks_backward", mutates_args=())
def _attend_in_blocks_backward(
    gradient: Tensor, queries: Tensor, keys: Tensor, values: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return gradients_of_attention(gradient, queries, keys, values, None, 0.0)


@torch.library.custom_op("sam2_video::attend_and_keep_backward", mutates_args=())
def _attend_and_keep_backward(
    gradient: Tensor, queries: Tensor, keys: Tensor, values: Tensor, kept: Tensor, dropout: float
) -> tuple[Tensor, Tensor, Tensor]:
    return gradients_of_attention(gradient, queries, keys, values, kept, dropout)


@attend_in_blocks.register_fake
def _(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:  # pyright: ignore[reportUnusedParameter]
    return queries.new_empty(*queries.shape[:2], values.shape[-1])


@attention_and_matrix.register_fake
def _(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    dropout: float,  # pyright: ignore[reportUnusedParameter]
) -> tuple[Tensor, Tensor]:
    batch, count = queries.shape[:2]
    return (
        queries.new_empty(batch, count, values.shape[-1]),
        queries.new_empty(batch, count, keys.shape[1]),
    )


@_attend_in_blocks_backward.register_fake
def _(
    gradient: Tensor,  # pyright: ignore[reportUnusedParameter]
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(queries), torch.empty_like(keys), torch.empty_like(values)


@_attend_and_keep_backward.register_fake
def _(
    gradient: Tensor,  # pyright: ignore[reportUnusedParameter]
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    kept: Tensor,  # pyright: ignore[reportUnusedParameter]
    dropout: float,  # pyright: ignore[reportUnusedParameter]
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(queries), torch.empty_like(keys), torch.empty_like(values)


# pyright: reportAttributeAccessIssue=false
def _keep_inputs(ctx: torch.autograd.function.FunctionCtx, inputs: tuple, output: Tensor) -> None:  # pyright: ignore[reportUnusedParameter]
    ctx.save_for_backward(*inputs)


def _backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple:
    return _attend_in_blocks_backward(gradient, *ctx.saved_tensors)


def _keep_weights(ctx: torch.autograd.function.FunctionCtx, inputs: tuple, output: tuple) -> None:
    *tensors, ctx.dropout = inputs
    ctx.save_for_backward(*tensors, output[1])
    # no gradient of the matrix' size is made
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _backward_of_kept(
    ctx: torch.autograd.function.FunctionCtx, gradient: Tensor, _: Tensor | None
) -> tuple:
    return *_attend_and_keep_backward(gradient, *ctx.saved_tensors, ctx.dropout), None


attend_in_blocks.register_autograd(_backward, setup_context=_keep_inputs)
attention_and_matrix.register_autograd(_backward_of_kept, setup_context=_keep_weights)
