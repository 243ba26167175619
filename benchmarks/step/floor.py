"""What a step takes at least: its products of matrices alone, its calls, and the bytes it moves.

In a step every operation is noted. Afterwards each different product is run by itself, often enough
for its best time; what else is called is charged with the best rate at which this machine copies,
out of its caches, and with what a call costs that does nothing. No code that takes these operations
can be faster, unless it joins some of them.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from sam2_video.model import cpu_attention

_aten = torch.ops.aten
PRODUCTS = {
    _aten.mm,
    _aten.addmm,
    _aten.addmm_,
    _aten.bmm,
    _aten.baddbmm,
    _aten.baddbmm_,
    _aten.convolution,
    _aten.convolution_backward,
    _aten._scaled_dot_product_flash_attention_for_cpu,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward,
}
"""Attention by PyTorch's kernel is counted whole, its softmax included."""
_OWN: Mapping[str, Callable[..., Any]] = {
    f"sam2_video::{operation._name}": operation._init_fn
    for operation in (
        cpu_attention.attend_in_blocks,
        cpu_attention.attention_and_matrix,
        cpu_attention._attend_in_blocks_backward,
        cpu_attention._attend_and_keep_backward,
    )
}
"""Our operations, which are made of others."""
TRIES = 3
COPIED = 2**16


class Census(TorchDispatchMode):
    """Notes the operations that a CPU is told: products by their shapes, of the rest the bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.moved = 0
        self.products: Counter[str] = Counter()
        self._examples: dict[str, tuple[Any, Any, Any]] = {}

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 (torch's signature)
        types: Any,  # noqa: ANN401
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        own = _OWN.get(func._schema.name)
        if own is not None:
            with self:
                return own(*args, **kwargs)
        result = func(*args, **kwargs)
        if func.is_view:
            return result
        self.calls += 1
        if func.overloadpacket in PRODUCTS:
            shapes = tree_map_only(Tensor, _describe, (args, kwargs))
            key = f"{func} {shapes}"
            self.products[key] += 1
            self._examples[key] = (func, *shapes)
        else:
            self.moved += sum(_num_bytes(leaf) for leaf in tree_leaves((args, kwargs, result)))
        return result

    def measure(self) -> dict[str, float]:
        """Run each product by itself; return the parts of the floor, and their sum, in seconds."""
        each = {key: _best(_replay(*example)) for key, example in self._examples.items()}
        products = sum(each[key] * count for key, count in self.products.items())
        one = torch.zeros(1)
        source, target = torch.zeros(COPIED), torch.zeros(COPIED)
        call = _best(lambda: one.add_(1), 1000)
        rate = 2 * COPIED * source.element_size() / _best(lambda: target.copy_(source), 100)
        return {
            "products": products,
            "calls": float(self.calls),
            "moved_gb": self.moved / 1e9,
            "copied_gb_per_second": rate / 1e9,
            "seconds": products + self.calls * call + self.moved / rate,
        }


class _Described(tuple):
    """Shape, strides and type of a tensor, which has been forgotten."""


def _describe(tensor: Tensor) -> _Described:
    return _Described((tuple(tensor.shape), tensor.stride(), tensor.dtype))


def _num_bytes(leaf: object) -> int:
    return leaf.numel() * leaf.element_size() if isinstance(leaf, Tensor) else 0


def _replay(func: Any, args: Any, kwargs: Any) -> Callable[[], object]:  # noqa: ANN401
    def make(described: _Described) -> Tensor:
        shape, strides, dtype = described
        return torch.empty_strided(shape, strides, dtype=dtype).fill_(0.01)

    args, kwargs = tree_map_only(_Described, make, (args, kwargs))
    return lambda: func(*args, **kwargs)


def _best(run: Callable[[], object], repeats: int = 1) -> float:
    """Return the seconds of a call at its best, after one that does not count."""
    run()
    return min(_times(run, repeats)) / repeats


def _times(run: Callable[[], object], repeats: int) -> Iterator[float]:
    for _ in range(TRIES):
        start = time.perf_counter()
        for _ in range(repeats):
            run()
        yield time.perf_counter() - start
