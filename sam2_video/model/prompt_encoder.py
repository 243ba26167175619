"""SAM's prompt encoder: what the mask decoder attends to of points and masks, and where."""

from functools import lru_cache

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Sam2VideoModel
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoPromptEncoder


def embed_prompts(
    network: Sam2VideoModel,
    conditioned: Tensor,
    points: Tensor | None,
    labels: Tensor | None,
    mask_prompt: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Return the embeddings of points, and of a mask, computed in fp32.

    Positions are multiplied by 2 pi and random frequencies: half precision would blur them.
    """
    encoder = network.prompt_encoder
    if mask_prompt is not None:
        mask_prompt = _fit(mask_prompt.float(), encoder.mask_input_size)
    square = None if points is None else _scale_to_square(points, encoder).unsqueeze(1)
    with torch.autocast(conditioned.device.type, enabled=False):
        sparse, dense = encoder(
            input_points=square,
            input_labels=None if labels is None else labels.unsqueeze(1),
            input_boxes=None,
            input_masks=mask_prompt,
        )
    if points is None:
        # no point is two points of padding, and padding is embedded as this whatever is computed
        return encoder.not_a_point_embed.weight.expand(len(conditioned), 2, -1), dense
    return sparse.squeeze(1), dense


def _fit(mask_prompt: Tensor, size: tuple[int, int]) -> Tensor:
    if mask_prompt.shape[-2:] == size:
        return mask_prompt
    return F.interpolate(
        mask_prompt, size=size, mode="bilinear", align_corners=False, antialias=True
    )


def _scale_to_square(points: Tensor, encoder: Sam2VideoPromptEncoder) -> Tensor:
    """Return points whose x the encoder, which knows one side only, will divide rightly."""
    height, width = encoder.image_embedding_size
    if height == width:
        return points
    x = (points[..., :1] + 0.5) * (height / width) - 0.5
    return torch.cat([x, points[..., 1:]], dim=-1)


def image_positions(network: Sam2VideoModel) -> Tensor:
    """Return the positions of the image features, which are made once a network and size."""
    embed = network.shared_image_embedding
    frequencies = embed.positional_embedding
    assert isinstance(frequencies, Tensor)
    # weights that are loaded are written over the old ones
    version = 0 if frequencies.is_inference() else frequencies._version
    size = network.prompt_encoder.image_embedding_size
    return _grid_positions(embed, version, size, frequencies.device, frequencies.dtype)


@lru_cache(maxsize=8)
def _grid_positions(
    embed: nn.Module,
    version: int,
    size: tuple[int, int],
    device: torch.device,
    dtype: torch.dtype,
) -> Float[Tensor, "places channels"]:
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(device.type, enabled=False):
        y, x = ((torch.arange(side, device=device, dtype=dtype) + 0.5) / side for side in size)
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
        return rearrange(embed(grid.unsqueeze(0)), "1 h w c -> (h w) c")
