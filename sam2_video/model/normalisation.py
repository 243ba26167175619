"""Layer normalisation over channels, also where there are few of them."""

import torch
from torch import Tensor, nn

FEW_CHANNELS = 64
"""Up to which a normalisation is faster as its formula, channels first, than with them last."""


def normalise_channels(norm: nn.Module, features: Tensor) -> Tensor:
    """Normalise [images, channels, height, width] over the channels; in fp32 at least, as autocast.

    On a CPU PyTorch takes ten times as long as need be over four channels.
    """
    if (
        not is_eager_on_cpu(features)
        or features.shape[1] > FEW_CHANNELS
        or not isinstance(norm, nn.LayerNorm)
    ):
        return norm(features)
    exact = features.to(torch.promote_types(features.dtype, torch.float32))
    centred = exact - exact.mean(1, keepdim=True)
    deviation = torch.rsqrt(centred.square().mean(1, keepdim=True) + norm.eps)
    return centred * deviation * norm.weight[:, None, None] + norm.bias[:, None, None]


def is_eager_on_cpu(tensor: Tensor) -> bool:
    """Say whether a CPU runs PyTorch's own kernels on this tensor, some of which are slow."""
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()
