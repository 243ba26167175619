"""The image encoder: transformers' modules of Hiera and its neck, called without what goes nowhere.

The same function as `Sam2VisionModel`, whose own `forward` also computes an attention matrix that
nothing reads, the projections of the padding around the windows (the same vector everywhere), and
position encodings of every level.
"""

from collections.abc import Sequence

from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from transformers.models.sam2.modeling_sam2 import (
    Sam2HieraDetModel,
    Sam2MultiScaleAttention,
    Sam2MultiScaleBlock,
    Sam2VisionModel,
    Sam2VisionNeck,
)

from sam2_video.model.compilation import compilable


@compilable("image encoder", pixels=(0,))
def encode_images(
    encoder: Sam2VisionModel, pixels: Float[Tensor, "images 3 height width"]
) -> list[Tensor]:
    """Return the levels of the feature pyramid, [images channels ...], from fine to coarse."""
    backbone = encoder.backbone
    assert isinstance(backbone, Sam2HieraDetModel)
    state = backbone.patch_embed(pixels)
    state = state + backbone._get_pos_embed(state.shape[1:3])
    stages = []
    for index, block in enumerate(backbone.blocks):
        assert isinstance(block, Sam2MultiScaleBlock)
        state = _run_block(block, state)
        if index in backbone.stage_ends:
            stages.append(state)
    return _join_stages(encoder.neck, stages)[: encoder.num_feature_levels]


def _run_block(
    block: Sam2MultiScaleBlock, state: Float[Tensor, "images rows columns channels"]
) -> Float[Tensor, "images rows_out columns_out channels_out"]:
    normed = block.layer_norm1(state)
    if block.dim != block.dim_out:
        assert isinstance(block.query_stride, list)
        state = _pool(block.proj(normed), block.query_stride)
    state = state + _attend_in_windows(block.attn, normed, block.window_size)
    return state + block.mlp(block.layer_norm2(state))


def _attend_in_windows(
    attention: Sam2MultiScaleAttention,
    normed: Float[Tensor, "images rows columns channels"],
    window: int,
) -> Float[Tensor, "images rows_out columns_out channels_out"]:
    """Attend within windows of `window` tokens a side; 0 = the whole image is one.

    Windows that reach beyond the image see padding there: what a zero is projected to.
    """
    rows, columns = normed.shape[1:3]
    height, width = (window, window) if window else (rows, columns)
    projected = _pad(attention, attention.qkv(normed), -rows % height, -columns % width)
    query, key, value = rearrange(
        projected,
        "n (r h) (c w) (three heads d) -> three (n r c) h w heads d",
        h=height,
        w=width,
        three=3,
        heads=attention.num_attention_heads,
    )
    if isinstance(attention.query_stride, list):
        query = _pool(query.flatten(3), attention.query_stride)
        query = query.unflatten(-1, (attention.num_attention_heads, -1))
    height, width = query.shape[1:3]
    query, key, value = (
        rearrange(x, "n h w heads d -> n heads (h w) d") for x in (query, key, value)
    )
    attended = F.scaled_dot_product_attention(query, key, value, scale=attention.scale)
    attended = rearrange(
        attended,
        "(n r c) heads (h w) d -> n (r h) (c w) (heads d)",
        n=len(normed),
        r=-(-rows // (window or rows)),
        h=height,
        w=width,
    )
    if isinstance(attention.query_stride, list):
        rows, columns = (side // attention.query_stride[0] for side in (rows, columns))
    return attention.proj(attended[:, :rows, :columns])


def _pad(
    attention: Sam2MultiScaleAttention, projected: Tensor, below: int, right: int
) -> Float[Tensor, "images rows columns channels"]:
    if not below and not right:
        return projected
    images, rows, columns, channels = projected.shape
    of_zero = attention.qkv(projected.new_zeros(1, attention.dim))
    padded = of_zero.to(projected.dtype).expand(images, rows + below, columns + right, channels)
    padded = padded.clone()
    padded[:, :rows, :columns] = projected
    return padded


def _pool(
    tokens: Float[Tensor, "n height width channels"], stride: Sequence[int]
) -> Float[Tensor, "n height_out width_out channels"]:
    pooled = F.max_pool2d(rearrange(tokens, "n h w c -> n c h w"), list(stride), list(stride))
    return rearrange(pooled, "n c h w -> n h w c")


def _join_stages(neck: Sam2VisionNeck, stages: list[Tensor]) -> list[Tensor]:
    """Return the pyramid's levels from fine to coarse; coarse ones are added to finer ones."""
    levels: list[Tensor] = []
    added_to = neck.fpn_top_down_levels or []
    for depth in range(len(stages) - 1, -1, -1):
        # the neck's first convolution is of the last stage
        convolution = neck.convs[len(stages) - 1 - depth]
        level = convolution(rearrange(stages[depth], "n h w c -> n c h w"))
        if levels and depth in added_to:
            level = level + F.interpolate(levels[0], scale_factor=2.0, mode="nearest")
        levels.insert(0, level)
    return levels
