"""SAM's mask decoder: transformers' modules, called for what is asked for and no more.

The same function as `Sam2VideoMaskDecoder`, whose own `forward` adds positions to the image twice
in a block, copies what it repeats once, and computes masks that nobody reads. Tokens are of the
object score, the IoUs and each mask, then of the prompts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from transformers.models.sam2_video.modeling_sam2_video import (
    Sam2VideoAttention,
    Sam2VideoMaskDecoder,
    Sam2VideoTwoWayAttentionBlock,
)

_SCORE, _IOU, _FIRST_MASK = 0, 1, 2
"""Places of the decoder's own tokens."""


@dataclass(frozen=True)
class Decoded:
    """Tokens and image features after they have attended to each other."""

    tokens: Float[Tensor, "objects tokens channels"]
    image: Float[Tensor, "objects places channels"]


def attend_both_ways(
    decoder: Sam2VideoMaskDecoder,
    image: Float[Tensor, "objects places channels"],
    positions: Float[Tensor, "places channels"],
    prompts: Float[Tensor, "objects prompt_tokens channels"],
) -> Decoded:
    """Let the decoder's tokens and those of prompts attend to the image, and it to them."""
    own = [decoder.obj_score_token.weight, decoder.iou_token.weight, decoder.mask_tokens.weight]
    own_tokens = torch.cat(own).expand(len(prompts), -1, -1)
    places = torch.cat([own_tokens, prompts], dim=1).to(decoder.iou_token.weight.dtype)
    tokens, transformer = places, decoder.transformer
    placed_image = image + positions
    for block in transformer.layers:
        assert isinstance(block, Sam2VideoTwoWayAttentionBlock)
        if block.skip_first_layer_pe:
            tokens = _attend(block.self_attn, tokens, tokens, tokens)
        else:
            placed = tokens + places
            tokens = tokens + _attend(block.self_attn, placed, placed, tokens)
        tokens = block.layer_norm1(tokens)
        to_image = block.cross_attn_token_to_image
        tokens = tokens + _attend(to_image, tokens + places, placed_image, image)
        tokens = block.layer_norm2(tokens)
        tokens = block.layer_norm3(tokens + block.mlp(tokens))
        to_tokens = block.cross_attn_image_to_token
        image = image + _attend(to_tokens, placed_image, tokens + places, tokens)
        image = block.layer_norm4(image)
        placed_image = image + positions
    last = transformer.final_attn_token_to_image
    tokens = tokens + _attend(last, tokens + places, placed_image, image)
    return Decoded(transformer.layer_norm_final_attn(tokens), image)


def _attend(
    attention: Sam2VideoAttention,
    queries: Float[Tensor, "objects queries channels"],
    keys: Float[Tensor, "objects keys channels"],
    values: Float[Tensor, "objects keys channels"],
) -> Float[Tensor, "objects queries channels"]:
    heads = (attention.num_attention_heads, attention.head_dim)
    query, key, value = (
        project(x).unflatten(-1, heads).transpose(1, 2)
        for project, x in (
            (attention.q_proj, queries),
            (attention.k_proj, keys),
            (attention.v_proj, values),
        )
    )
    said = attend_in_heads(query, key, value, attention.scaling)
    return attention.o_proj(said.transpose(1, 2).flatten(2))


def attend_in_heads(
    query: Float[Tensor, "objects heads queries channels"],
    key: Float[Tensor, "objects heads keys channels"],
    value: Float[Tensor, "objects heads keys channels"],
    scale: float,
) -> Float[Tensor, "objects heads queries channels"]:
    """Return what is attended to, of few tokens to an image or back, in narrow heads.

    On a CPU two small products and a softmax are faster than PyTorch's fused kernel, whose blocks
    are made for long sequences; and a softmax over few numbers is ten times as fast where the many
    are last in memory.
    """
    if query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value, scale=scale)
    sizes = query.shape[:2]
    query, key, value = (part.flatten(0, 1) for part in (query, key, value))
    if query.shape[1] > key.shape[1]:
        weights = torch.bmm(key * scale, query.transpose(1, 2)).softmax(1).transpose(1, 2)
    else:
        weights = torch.bmm(query * scale, key.transpose(1, 2)).softmax(2)
    return torch.bmm(weights.to(value.dtype), value).unflatten(0, sizes)


def score_objects(decoder: Sam2VideoMaskDecoder, decoded: Decoded) -> Float[Tensor, " objects"]:
    """Return a logit of whether each object is on the frame."""
    return decoder.pred_obj_score_head(decoded.tokens[:, _SCORE]).flatten()


def tokens_of_masks(
    decoder: Sam2VideoMaskDecoder, decoded: Decoded, *, is_multimask: bool
) -> Float[Tensor, "objects hypotheses channels"]:
    """Return the token of each mask that is asked for: of one of them, or of the other three."""
    tokens = decoded.tokens[:, _FIRST_MASK : _FIRST_MASK + decoder.num_mask_tokens]
    return tokens[:, 1:] if is_multimask else tokens[:, :1]


def predict_masks(
    decoder: Sam2VideoMaskDecoder,
    decoded: Decoded,
    size: Sequence[int],
    half: Float[Tensor, "#objects half_channels height_2 width_2"],
    quarter: Float[Tensor, "#objects quarter_channels height_4 width_4"],
    *,
    is_multimask: bool,
    is_training: bool,
) -> tuple[
    Float[Tensor, "objects hypotheses height_4 width_4"], Float[Tensor, "objects hypotheses"]
]:
    """Return mask logits and predicted IoUs.

    Of one mask that is unstable, in evaluation only, the best of the other three takes the place.

    Args:
        decoder: the mask decoder.
        decoded: what its transformer says.
        size: (height, width) of the image features.
        half: finer features, projected for the decoder, of each object or one for all.
        quarter: the finest.
        is_multimask: three hypotheses are asked for.
        is_training: see `track_frame`.
    """
    upscaled = _upscale(decoder, decoded.image, size, half, quarter)
    ious = decoder.iou_prediction_head(decoded.tokens[:, _IOU])
    count, heads = decoder.num_mask_tokens, decoder.output_hypernetworks_mlps
    first, end = (1, count) if is_multimask else (0, 1)
    is_replaceable = not (is_multimask or is_training or decoder.training)
    # a weight without a gradient would not decay; one with a gradient of zeros does
    is_learning = torch.is_grad_enabled() and any(w.requires_grad for w in heads.parameters())
    are_all_made = is_replaceable or is_learning
    wanted = range(count) if are_all_made else range(first, end)
    vectors = torch.stack([heads[i](decoded.tokens[:, _FIRST_MASK + i]) for i in wanted], dim=1)
    masks = (vectors @ upscaled.flatten(2)).unflatten(-1, upscaled.shape[-2:])
    if is_replaceable:
        chosen = decoder._dynamic_multimask_via_stability(masks.unsqueeze(1), ious.unsqueeze(1))
        return chosen[0].squeeze(1), chosen[1].squeeze(1)
    return masks[:, first:end] if are_all_made else masks, ious[:, first:end]


def _upscale(
    decoder: Sam2VideoMaskDecoder, image: Tensor, size: Sequence[int], half: Tensor, quarter: Tensor
) -> Tensor:
    # a CPU is slow where what is added lies otherwise in memory: with its channels first
    half, quarter = (
        level.contiguous(memory_format=torch.channels_last) for level in (half, quarter)
    )
    features = image.transpose(1, 2).unflatten(-1, tuple(size))
    features = decoder.upscale_conv1(features) + half
    features = decoder.activation(decoder.upscale_layer_norm(features))
    # and its gradient comes from a product, in rows
    return decoder.activation((decoder.upscale_conv2(features) + quarter).contiguous())
