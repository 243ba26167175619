"""Float64 in place of float32 for code that asks for float32 by name."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from transformers.models.sam2.modeling_sam2 import Sam2SinePositionEmbedding
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoPositionEmbeddingSine


class _Wide(TorchFunctionMode):
    """While it is active, whoever asks for float32 gets float64."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        func = torch.Tensor.double if func is torch.Tensor.float else func
        args = [_widen(value) for value in args]
        return func(*args, **{name: _widen(value) for name, value in (kwargs or {}).items()})


def _widen(value: Any) -> Any:
    return torch.float64 if value is torch.float32 else value


@contextmanager
def in_double() -> Iterator[None]:
    """Build and run both sides in float64, in which only a difference in meaning remains."""
    torch.set_default_dtype(torch.float64)
    _forget_positions()
    try:
        with _Wide():
            yield
    finally:
        torch.set_default_dtype(torch.float32)
        _forget_positions()


def _forget_positions() -> None:
    """Push the last tables of positions out of transformers' caches, which hold one each."""
    for table in (Sam2SinePositionEmbedding, Sam2VideoPositionEmbeddingSine):
        table.build_sine_position_embedding(torch.Size((1, 1, 1, 1)), "cpu", torch.float32, 2)
