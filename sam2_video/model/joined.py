"""Queries, keys and values of an image's attention to itself as one product.

All three are projections of the same features. Their weights are put together once a step.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Sam2VideoModel
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoMemoryAttentionLayer


@dataclass(frozen=True)
class Joined:
    """The weights of a layer's three projections, one after another."""

    weight: Float[Tensor, "three_channels channels"]
    bias: Float[Tensor, " three_channels"]

    def __call__(
        self, features: Float[Tensor, "batch tokens channels"]
    ) -> Float[Tensor, "batch tokens three_channels"]:
        """Project features."""
        return F.linear(features, self.weight, self.bias)


Projections = Sequence[Joined | None]
"""Of each layer of memory attention; None where a projection is more than its weights."""


def join_projections(network: Sam2VideoModel) -> Projections:
    """Put the weights together, with a graph, in the precision in which they are multiplied."""
    kind = network.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    return [_join(layer, dtype) for layer in network.memory_attention.layers]


def _join(layer: nn.Module, dtype: torch.dtype | None) -> Joined | None:
    """Return a layer's projections, in their own precision if no other is given."""
    assert isinstance(layer, Sam2VideoMemoryAttentionLayer)
    parts = [getattr(layer.self_attn, f"{name}_proj") for name in ("q", "k", "v")]
    # one that has an adapter is another module
    if not all(type(part) is nn.Linear and part.bias is not None for part in parts):
        return None
    weight, bias = (torch.cat([getattr(part, n) for part in parts]) for n in ("weight", "bias"))
    return Joined(weight, bias) if dtype is None else Joined(weight.to(dtype), bias.to(dtype))
