"""Random weights as Meta's implementation draws them."""

import torch
from torch import nn
from transformers import Sam2VideoModel

EMBEDDING_STD = 0.02
LAYER_SCALE = 1e-6


def initialise(network: Sam2VideoModel, seed: int) -> None:
    """Draw every weight of the network from `seed`.

    Layers take torch's own initialisation, as in Meta's code: transformers' smaller one and its
    zeros leave outputs that hardly depend on memory, and parameters without a gradient.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for module in network.modules():
            if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding):
                module.reset_parameters()
        for parameter in (
            network.memory_temporal_positional_encoding,
            network.no_memory_embedding,
            network.no_memory_positional_encoding,
            network.no_object_pointer,
            network.occlusion_spatial_embedding_parameter,
        ):
            if parameter is not None:
                nn.init.trunc_normal_(parameter, std=EMBEDDING_STD)
        for layer in network.memory_encoder.memory_fuser.layers:
            nn.init.constant_(layer.get_parameter("scale"), LAYER_SCALE)
        frequencies = network.prompt_encoder.shared_embedding.positional_embedding
        nn.init.normal_(frequencies)
        network.shared_image_embedding.positional_embedding.copy_(frequencies)
        backbone = network.vision_encoder.backbone
        nn.init.trunc_normal_(backbone.pos_embed, std=EMBEDDING_STD)
        nn.init.trunc_normal_(backbone.pos_embed_window, std=EMBEDDING_STD)
