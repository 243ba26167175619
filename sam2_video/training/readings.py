"""What a step measures on the device, brought to the host at once, in the only wait of a step."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sam2_video.structures import ClipBatch
from sam2_video.training.non_finite import non_finite_loss


@dataclass(frozen=True)
class _Measured:
    """What was measured of one batch: `values` are sums over processes, the loss comes first."""

    values: Tensor
    total: Tensor
    batch: ClipBatch


class Readings:
    """The values of the batches of a step, added up, and the norm of its gradient."""

    def __init__(self) -> None:
        self.gradient_norm = 0.0
        self._unread: list[_Measured] = []
        self._sums: list[float] = []

    def add(self, values: Tensor, total: Tensor, batch: ClipBatch, number: int) -> None:
        """Take the values of a batch, the `number`-th of its step, as they are on the device."""
        if number == 0:
            self._unread, self._sums = [], []
        self._unread.append(_Measured(values, total, batch))

    def read(self, step: int, gradient_norm: Tensor | None = None) -> list[float]:
        """Return the sums over the batches of the step so far; waits for the device if need be.

        Raises:
            NonFiniteLossError: the loss of a batch is not finite in some process; all raise it.
        """
        on_device = [measured.values for measured in self._unread]
        if gradient_norm is not None:
            on_device.append(gradient_norm.detach().float().reshape(1))
        if not on_device:
            return self._sums
        numbers = torch.cat(on_device).tolist()
        if gradient_norm is not None:
            self.gradient_norm = numbers.pop()
        unread, self._unread = self._unread, []
        for measured in unread:
            values = numbers[: len(measured.values)]
            numbers = numbers[len(measured.values) :]
            # a sum over processes is finite in all of them or in none: none is left waiting
            if not math.isfinite(values[0]):
                raise non_finite_loss(measured.total, measured.batch, step)
            sums = self._sums or [0.0] * len(values)
            self._sums = [earlier + value for earlier, value in zip(sums, values, strict=True)]
        return self._sums
