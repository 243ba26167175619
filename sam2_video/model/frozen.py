"""Weights that do not learn, in the precision in which they are multiplied.

Autocast keeps the 16-bit copy of a weight for a step only where the weight learns. The mask decoder
runs on each frame and after each click; a frozen one would be copied again each time.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from transformers import Sam2VideoModel

from sam2_video.model.compilation import is_compiled

LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
"""Which autocast runs in 16 bits."""


@contextmanager
def cast_frozen_weights(network: Sam2VideoModel) -> Iterator[None]:
    """Put 16-bit copies in the place of the mask decoder's frozen weights, where autocast acts.

    The numbers are autocast's own. What is computed again in the backward pass, after this has
    ended, reads the weights themselves and is cast as it goes. A compiler makes casts a part of
    what reads them, and expects to find the same tensors each time.
    """
    kind = network.device.type
    if not torch.is_autocast_enabled(kind) or is_compiled(network):
        yield
        return
    dtype = torch.get_autocast_dtype(kind)
    replaced: list[tuple[nn.Module, str, nn.Parameter]] = []
    try:
        for module in _layers(network):
            for name, weight in list(module._parameters.items()):
                if weight is not None and not weight.requires_grad and weight.dtype != dtype:
                    replaced.append((module, name, weight))
                    module._parameters[name] = nn.Parameter(weight.to(dtype), requires_grad=False)
        yield
    finally:
        for module, name, weight in replaced:
            module._parameters[name] = weight


def _layers(network: Sam2VideoModel) -> Iterator[nn.Module]:
    for part in (network.mask_decoder, network.object_pointer_proj):
        yield from (module for module in part.modules() if type(module) in LAYERS)
