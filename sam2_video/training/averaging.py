"""An exponential moving average of the weights that learn, beside the weights themselves."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """Averages the weights of a network that learn, and can stand in their place.

    The decay rises to its full value as in TensorFlow's average, min(decay, (1 + n) / (10 + n)) at
    the n-th step: the average of a short run would else be that of the weights it started from.
    torch's `AveragedModel`, and Lightning's callback around it, copy the frozen weights too, and
    cannot be scored beside the raw ones.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.num_updates = 0
        self._weights: dict[str, Tensor] = {}

    @property
    def is_apart(self) -> bool:
        """Say whether the average can differ from the weights: from the first step on."""
        return self.num_updates > 0

    @torch.no_grad()
    def start(self, network: nn.Module) -> None:
        """Begin with the present weights, or go on with the average that was loaded."""
        self._weights = {
            name: self._weights.get(name, parameter).detach().clone().to(parameter.device)
            for name, parameter in _learning(network)
        }

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the weights after a step."""
        self.num_updates += 1
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        for name, parameter in _learning(network):
            self._weights[name].lerp_(parameter, 1 - decay)

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """Put the average in the place of the weights, and the weights back afterwards."""
        self._swap(network)
        try:
            yield
        finally:
            self._swap(network)

    def _swap(self, network: nn.Module) -> None:
        for name, parameter in _learning(network):
            parameter.data, self._weights[name] = self._weights[name], parameter.data
        # autocast knows its 16-bit copy of a weight by the parameter, whatever that now holds
        torch.clear_autocast_cache()

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know."""
        return {"num_updates": self.num_updates, "weights": dict(self._weights)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the average of the run that is continued."""
        self.num_updates, self._weights = state_dict["num_updates"], dict(state_dict["weights"])


def _learning(network: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, p) for name, p in network.named_parameters() if p.requires_grad)
