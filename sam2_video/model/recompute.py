"""What backward computes a second time in place of keeping it (activation checkpointing)."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

Recomputed = Literal["none", "clicks", "cheap", "frames"]
"""Nothing; the decoder's runs of corrections; also all that is large and soon computed; all of a
frame. Each does what the one before it does, and saves more."""
Result = TypeVar("Result")


class _View(NamedTuple):
    """Where in a tensor's storage a view of it lies."""

    size: torch.Size
    stride: tuple[int, ...]
    offset: int | torch.SymInt


def run_and_keep(is_kept: bool, function: Callable[..., Result], *arguments: Any) -> Result:  # noqa: ANN401
    """Call a function whose intermediate results are kept for backward, or else computed again."""
    if is_kept or not torch.is_grad_enabled():
        return function(*arguments)
    result: Any = checkpoint(function, *arguments, use_reentrant=False)
    return result


def computed_again(
    is_kept: bool,
    tensor: Tensor,
    compute: Callable[[], Tensor],
) -> AbstractContextManager[Any]:
    """Within, operations that need `tensor` for backward do not keep it: `compute` returns it anew.

    Unlike `run_and_keep`, what is done with the tensor within is not done a second time. A compiler
    sees no hooks: it is told by `run_and_keep` around what makes the tensor.
    """
    if is_kept or not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return nullcontext()
    kind = tensor.device.type
    precision = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    # The graph holds `pack`, and so all that it names: not the tensor. The address is that of the
    # storage, for that of its content says nothing of a tensor without any (`FakeTensor`).
    storage = tensor.untyped_storage()._cdata

    def pack(saved: Tensor) -> Tensor | _View:
        if saved.untyped_storage()._cdata != storage:
            return saved
        return _View(saved.size(), saved.stride(), saved.storage_offset())

    def unpack(kept: Tensor | _View) -> Tensor:
        if isinstance(kept, Tensor):
            return kept
        with torch.no_grad(), torch.autocast(kind, precision, enabled=precision is not None):
            return compute().as_strided(*kept)

    return saved_tensors_hooks(pack, unpack)
