"""Attention of the mask decoder: of few tokens to an image or back, in heads 16 channels wide.

On a CPU two small products and a softmax are faster than PyTorch's fused kernel, whose blocks are
made for long sequences; elsewhere it is the fused kernel.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface

NAME = "sam2_video_decoder"
"""As which transformers' modules know it."""


def attend_of_decoder(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **_: object,
) -> tuple[Tensor, None]:
    """Return what is attended to, [batch, queries, heads, channels]; others are [.., heads, ..]."""
    if query.device.type == "cpu" and attention_mask is None and dropout == 0:
        weights = torch.matmul(query * scaling, key.transpose(2, 3)).softmax(-1)
        said = torch.matmul(weights.to(value.dtype), value)
    else:
        said = F.scaled_dot_product_attention(
            query, key, value, attn_mask=attention_mask, dropout_p=dropout, scale=scaling
        )
    return said.transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, attend_of_decoder)
