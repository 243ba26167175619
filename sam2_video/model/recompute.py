"""What backward computes a second time in place of keeping it (activation checkpointing)."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, Literal, TypeVar

import torch
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)

Recomputed = Literal["none", "clicks", "light", "cheap", "frames"]
"""Nothing; the decoder's runs of corrections; also the memory encoder and the layers of memory
attention, but for what was attended to; also the decoder, and attention of an image to itself; all
of a frame. Each does what the one before it does, and saves more."""
SAVING: frozenset[Recomputed] = frozenset({"light", "cheap", "frames"})
"""Chosen by who has too little memory for time to come first."""
Result = TypeVar("Result")


def run_and_keep(is_kept: bool, function: Callable[..., Result], *arguments: Any) -> Result:  # noqa: ANN401
    """Call a function whose intermediate results are kept for backward, or else computed again."""
    if is_kept or not torch.is_grad_enabled():
        return function(*arguments)
    result: Any = checkpoint(function, *arguments, use_reentrant=False)
    return result


def run_but_keep_attention(
    recomputed: Recomputed,
    is_noisy: bool,
    function: Callable[..., Result],
    *arguments: Any,  # noqa: ANN401
) -> Result:
    """Call a layer of memory attention, of which what attention has said is kept: it is slow.

    Where dropout acts it is computed again too: numbers that are not drawn a second time would
    shift those that are.
    """
    is_kept = recomputed not in _KEPT_ATTENTION
    if is_kept or is_noisy or not torch.is_grad_enabled():
        return run_and_keep(is_kept, function, *arguments)
    if not torch.compiler.is_compiling():
        function = _cast_each_time(function)
    result: Any = checkpoint(
        function, *arguments, use_reentrant=False, context_fn=_KEPT_ATTENTION[recomputed]
    )
    return result


def _cast_each_time(function: Callable[..., Result]) -> Callable[..., Result]:
    """Let autocast cast weights anew in each call, as when it is computed a second time.

    What is kept is found again by counting operations, and casts of before would not be counted.
    """

    def run(*arguments: Any) -> Result:  # noqa: ANN401
        before = torch.is_autocast_cache_enabled()
        torch.set_autocast_cache_enabled(False)
        try:
            return function(*arguments)
        finally:
            torch.set_autocast_cache_enabled(before)

    return run


Contexts = tuple[AbstractContextManager[Any], AbstractContextManager[Any]]


def _keep_all_attention() -> Contexts:
    return create_selective_checkpoint_contexts(_decide_on_all)


def _keep_attention_to_memory() -> Contexts:
    return create_selective_checkpoint_contexts(_decide_on_memory)


_KEPT_ATTENTION: Mapping[Recomputed, Callable[[], Contexts]] = {
    "light": _keep_all_attention,
    "cheap": _keep_attention_to_memory,
}


def _decide_on_all(_: object, operation: object, *__: Any, **___: Any) -> CheckpointPolicy:  # noqa: ANN401
    if operation in _attentions():
        return CheckpointPolicy.MUST_SAVE
    return CheckpointPolicy.PREFER_RECOMPUTE


def _decide_on_memory(
    context: object,
    operation: object,
    *inputs: Any,  # noqa: ANN401
    **_: Any,  # noqa: ANN401
) -> CheckpointPolicy:
    """Keep what is said by an attention with more keys than queries: to itself it is soon done."""
    if operation in _attentions() and inputs[1].shape[-2] <= inputs[0].shape[-2]:
        return CheckpointPolicy.PREFER_RECOMPUTE
    return _decide_on_all(context, operation)


@cache
def _attentions() -> frozenset[object]:
    """Return the operations that attend: ours, and PyTorch's of every device."""
    aten = torch.ops.aten
    return frozenset(
        [
            torch.ops.sam2_video.attend_in_blocks.default,
            torch.ops.sam2_video.attend_and_keep.default,
            aten._scaled_dot_product_flash_attention_for_cpu.default,
            aten._scaled_dot_product_flash_attention.default,
            aten._scaled_dot_product_efficient_attention.default,
            aten._scaled_dot_product_cudnn_attention.default,
        ]
    )
