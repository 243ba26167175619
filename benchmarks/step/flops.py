"""How many floating point operations a step does, and how many the machine could do.

Counted are multiplications and additions of matrices, convolutions and attention, forward and
backward, what is computed again included; as PyTorch's counter does, with three formulas of ours:

- the backward pass of a convolution costs as much as its forward pass for each gradient that is
  asked for. PyTorch's own formula knows no groups, and takes that of a depthwise convolution for
  that of a dense one;
- PyTorch's fused attention on a CPU, which its counter does not know;
- our own operations, which it cannot know.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

Shape = Sequence[int]
_TRIES = 8


def formulas() -> dict[Any, Callable[..., int]]:
    """Return the formulas that PyTorch's counter lacks, by operation.

    Raises:
        ValueError: an operation of ours has no formula; names it.
    """
    # registers the operations
    import sam2_video.model.cpu_attention  # noqa: F401

    own = {
        "sam2_video::attend_in_blocks": _narrow_attention,
        "sam2_video::attend_in_blocks_backward": partial(_narrow_attention_backward, repeated=1),
        "sam2_video::attend_and_keep": _narrow_attention,
        "sam2_video::attend_and_keep_backward": partial(_narrow_attention_backward, repeated=0),
    }
    registered = {name.partition(".")[0] for name in torch._C._dispatch_get_all_op_names()}
    unknown = {name for name in registered if name.startswith("sam2_video::")} - own.keys()
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))}: no formula in benchmarks.step.flops")
    aten = torch.ops.aten
    return {
        aten.convolution_backward: _convolution_backward,
        aten.addmm_: _product_added,
        aten.baddbmm_: _product_added,
        aten._scaled_dot_product_flash_attention_for_cpu: _fused_attention,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: _fused_attention_backward,
        **{
            getattr(torch.ops.sam2_video, name.partition("::")[2]): formula
            for name, formula in own.items()
            if name in registered
        },
    }


@contextmanager
def counted() -> Iterator[Callable[[], int]]:
    """Count what is computed within; the function that is given returns how much."""
    with FlopCounterMode(display=False, custom_mapping=formulas()) as counter:
        yield counter.get_total_flops


def measure_matmul(device: torch.device, dtype: torch.dtype) -> float:
    """Return the TFLOP/s of the best of several products of large square matrices."""
    side = 8192 if device.type == "cuda" else 2048
    first, second = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    times = []
    for _ in range(_TRIES):
        _wait(device)
        start = time.perf_counter()
        torch.mm(first, second)
        _wait(device)
        times.append(time.perf_counter() - start)
    return 2 * side**3 / min(times) / 1e12


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _convolution_backward(
    gradient: Shape,
    inputs: Shape,
    weight: Shape,
    _bias: object,
    _stride: object,
    _padding: object,
    _dilation: object,
    is_transposed: bool,
    _output_padding: object,
    _groups: int,
    wanted: Sequence[bool],
    **_rest: object,
) -> int:
    # a weight is [out, in / groups, ...]; of a transposed one [in, out / groups, ...], and each
    # number of its input meets all of it
    places = inputs if is_transposed else gradient
    forward = 2 * prod(places) * prod(weight[1:])
    return forward * sum(wanted[:2])


def _product_added(_total: Shape, first: Shape, second: Shape, **_rest: object) -> int:
    return 2 * prod(first) * second[-1]


def _fused_attention(query: Shape, key: Shape, value: Shape, *_: object, **_rest: object) -> int:
    return sdpa_flop_count(query, key, value)


def _fused_attention_backward(
    gradient: Shape, query: Shape, key: Shape, value: Shape, *_: object, **_rest: object
) -> int:
    return sdpa_backward_flop_count(gradient, query, key, value)


def _narrow_attention(
    queries: Shape, keys: Shape, values: Shape, *_: object, **_rest: object
) -> int:
    return 2 * prod(queries[:2]) * keys[1] * (keys[2] + values[2])


def _narrow_attention_backward(
    _gradient: Shape,
    queries: Shape,
    keys: Shape,
    values: Shape,
    *_: object,
    repeated: int,
    **_rest: object,
) -> int:
    # the gradients of queries and keys, and scores a second time; those of weights and values
    return 2 * prod(queries[:2]) * keys[1] * ((2 + repeated) * keys[2] + 2 * values[2])
