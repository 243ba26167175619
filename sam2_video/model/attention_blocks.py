"""Attention of one head on a CPU, in blocks of queries, with values of any width, and dropout.

A block is two products of matrices and a softmax. Either no attention matrix is kept, and the
backward pass computes it again; or it is, and a product is saved. Dropout draws once, for a matrix
that is kept: its weights are positive, and the sign of one that is dropped is turned.
"""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from sam2_video.model.noise import draw_kept, scale_of_kept

BLOCK_BYTES = 8 * 2**20
"""Of the attention matrix at once; smaller products are slower."""
BLOCK_QUERIES = 512
"""At least so many at once, though it be more bytes: keys are read anew for each block."""
MOST_BLOCK_BYTES = 64 * 2**20
"""Of the attention matrix at once, at most."""
SMALL_BYTES = 2**21
"""What is computed together of a batch whose matrices are small."""


def attend_without_matrix(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Return softmax(queries keys' / sqrt(channels)) values."""
    attended = queries.new_empty(*queries.shape[:2], values.shape[-1])
    room = _Room()
    for block in _cut(queries, keys):
        query = block.rows_of(queries)
        weights = _weights(query, block.of(keys), room.seat(query, keys))
        _set_product(block.rows_of(attended), weights, block.of(values))
    return attended


def attend_with_matrix(
    queries: Tensor, keys: Tensor, values: Tensor, dropout: float
) -> tuple[Tensor, Tensor]:
    """Return what is attended to and the attention matrix; what is dropped of it is negative."""
    attended = queries.new_empty(*queries.shape[:2], values.shape[-1])
    kept = queries.new_empty(*queries.shape[:2], keys.shape[1])
    for block in _cut(queries, keys):
        weights = _weights(block.rows_of(queries), block.of(keys), block.rows_of(kept))
        if dropout:
            stays = draw_kept(weights.shape, dropout)
            weights.copy_(torch.where(stays, weights, -weights))
            weights = weights.clamp_min(0)
        _set_product(block.rows_of(attended), weights, block.of(values))
    return attended.mul_(scale_of_kept(dropout)) if dropout else attended, kept


def gradients_of_attention(
    gradient: Tensor,
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    kept: Tensor | None,
    dropout: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return those of queries, keys and values; without a kept matrix it is computed again."""
    if dropout:
        gradient = gradient * scale_of_kept(dropout)
    scale = _scale(queries)
    blocks = _cut(queries, keys)
    of_queries = torch.empty_like(queries, memory_format=torch.contiguous_format)
    if any(block.rows.start for block in blocks):
        # sums over blocks lose nothing in half precision
        wide = torch.promote_types(keys.dtype, torch.float32)
        of_keys, of_values = (torch.zeros_like(x, dtype=wide) for x in (keys, values))
        add = _add_product
    else:
        of_keys, of_values = torch.empty_like(keys), torch.empty_like(values)
        add = _set_product
    room_of_weights, room_of_gradients = _Room(), _Room()
    for block in blocks:
        grad, query, key = block.rows_of(gradient), block.rows_of(queries), block.of(keys)
        if kept is None:
            weights = _weights(query, key, room_of_weights.seat(query, keys))
        else:
            weights = block.rows_of(kept)
        of_weights = room_of_gradients.seat(query, keys)
        _set_product(of_weights, grad, block.of(values).transpose(1, 2))
        if dropout:
            stays = weights.clamp_min(0)
            add(block.of(of_values), stays.transpose(1, 2), grad)
            of_weights = torch.ops.aten.threshold_backward(of_weights, weights, 0)
            weights = weights.abs()
        else:
            add(block.of(of_values), weights.transpose(1, 2), grad)
        of_scores = _softmax_backward(of_weights, weights)
        _set_product(block.rows_of(of_queries), of_scores, key, scale)
        add(block.of(of_keys), of_scores.transpose(1, 2), query, scale)
    return of_queries, of_keys.to(keys.dtype), of_values.to(values.dtype)


@dataclass(frozen=True)
class _Block:
    """What is computed at once: some queries of a part of the batch."""

    batch: slice
    rows: slice
    is_all: bool

    def rows_of(self, tensor: Tensor) -> Tensor:
        """Return these of [batch, queries, ..]."""
        return tensor if self.is_all else tensor[self.batch, self.rows]

    def of(self, tensor: Tensor) -> Tensor:
        """Return this part of the batch."""
        return tensor if self.is_all else tensor[self.batch]


def _cut(queries: Tensor, keys: Tensor) -> list[_Block]:
    """Return the blocks, each of which is small enough to be quick."""
    batch, count = queries.shape[:2]
    row_bytes = max(keys.shape[1] * keys.element_size(), 1)
    several = max(SMALL_BYTES // max(count * row_bytes, 1), 1)
    wanted = max(BLOCK_BYTES // row_bytes, min(BLOCK_QUERIES, MOST_BLOCK_BYTES // row_bytes), 1)
    # blocks of one size: the last one is not a remainder
    size = -(-count // max(-(-count // wanted), 1))
    return [
        _Block(
            slice(first, first + several),
            slice(start, start + size),
            is_all=several >= batch and size >= count,
        )
        for first in range(0, batch, several)
        for start in range(0, count, size)
    ]


class _Room:
    """Memory for a block's matrix, which all blocks of a call take in turn."""

    def __init__(self) -> None:
        self._memory: Tensor | None = None

    def seat(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Return it for some queries; the first block is the largest."""
        shape = torch.Size((*queries.shape[:2], keys.shape[1]))
        if self._memory is None:
            self._memory = queries.new_empty(shape)
        if self._memory.shape == shape:
            return self._memory
        return self._memory.flatten()[: prod(shape)].view(shape)


def _weights(queries: Tensor, keys: Tensor, out: Tensor) -> Tensor:
    """Return one block of the attention matrix."""
    scores = _set_product(out, queries, keys.transpose(1, 2), _scale(queries))
    return torch.softmax(scores, dim=-1, out=scores)


def _scale(queries: Tensor) -> float:
    return queries.shape[-1] ** -0.5


def _softmax_backward(gradient: Tensor, weights: Tensor) -> Tensor:
    """Turn the gradient of a block's weights into that of its scores, in its place."""
    return torch.ops.aten._softmax_backward_data.out(
        gradient, weights, -1, weights.dtype, grad_input=gradient
    )


def _set_product(total: Tensor, first: Tensor, second: Tensor, scale: float = 1.0) -> Tensor:
    """Return `total`, which becomes so many times the product."""
    return _combine(total, first, second, 0.0, scale)


def _add_product(total: Tensor, first: Tensor, second: Tensor, scale: float = 1.0) -> Tensor:
    """Return `total`, to which so many times the product is added."""
    if total.dtype != first.dtype:
        return total.add_(_set_product(first.new_empty(total.shape), first, second, scale))
    return _combine(total, first, second, 1.0, scale)


def _combine(total: Tensor, first: Tensor, second: Tensor, kept: float, scale: float) -> Tensor:
    """Multiply matrices; of a batch of one in the kernel for one, which uses all cores."""
    if len(first) == 1:
        total[0].addmm_(first[0], second[0], beta=kept, alpha=scale)
        return total
    return total.baddbmm_(first, second, beta=kept, alpha=scale)
