"""Memory attention: transformers' modules, called so that nothing is computed twice.

The same function as `Sam2VideoMemoryAttention`, whose own `forward` repeats for each object what
only depends on the image, and for each layer what only depends on the memory:

- up to the first cross-attention objects differ in nothing: it is computed once an image;
- the attention matrix acts on the memory itself, 64 channels wide, and the value projection on the
  outcome, for softmax(Q K')(M W + b) = (softmax(Q K') M) W + b: its rows sum to one;
- RoPE is a complex product with a table that is made once a size (`rotation`);
- queries, keys and values of an image's attention to itself are one product (`joined`).

Where dropout acts, each object and each layer draws its own: from the first of its draws on objects
differ, and the rows of an attention matrix have other sums, with which the bias is scaled.
"""

from collections.abc import Mapping
from functools import lru_cache

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Sam2VideoModel
from transformers.models.sam2_video.modeling_sam2_video import (
    Sam2VideoMemoryAttention,
    Sam2VideoMemoryAttentionLayer,
    Sam2VideoRoPEAttention,
)

from sam2_video.model.attention import KeptMatrices, attend, has_narrow_kernel
from sam2_video.model.compilation import compilable
from sam2_video.model.heads import FrameFeatures
from sam2_video.model.joined import Joined, Projections
from sam2_video.model.noise import drop
from sam2_video.model.recompute import Recomputed, run_but_keep_attention
from sam2_video.model.rotation import Rotation, rotate, rotation_of, split_and_rotate

POSITION_SCALE = 0.1
"""Share of the position encoding that is added to the image features (SAM 2's value)."""
_KEPT_OF_MEMORY: Mapping[Recomputed, KeptMatrices] = {"light": "few", "cheap": "none"}
"""Attention matrices of objects and memory; all of them where nothing else is said."""


def attend_to_memory(
    network: Sam2VideoModel,
    features: FrameFeatures,
    memory: Float[Tensor, "objects memory_tokens memory_channels"],
    positions: Float[Tensor, "memory_tokens memory_channels"],
    num_pointer_tokens: int,
    *,
    projections: Projections = (),
    recomputed: Recomputed = "none",
) -> Float[Tensor, "objects channels height width"]:
    """Let a frame's features attend to what is remembered of each object.

    Args:
        network: SAM 2.
        features: of the frame, each image once.
        memory: spatial memories, then object pointers.
        positions: of the memory, the same for all objects.
        num_pointer_tokens: how many of the memory's tokens are of object pointers: without RoPE.
        projections: see `joined`; made of the layers' own weights where there are none.
        recomputed: what the backward pass computes again.
    """
    height, width = features.embedding.shape[-2:]
    rotation = rotation_of(network, height, width)
    num_spatial = (memory.shape[1] - num_pointer_tokens) // (height * width)
    # tables are made outside of what is compiled
    return _attend_with_tables(
        network.memory_attention,
        features,
        memory,
        positions,
        rotation,
        rotation.repeat(num_spatial, num_pointer_tokens),
        feature_positions(network, features.embedding),
        projections or [None] * len(network.memory_attention.layers),
        recomputed,
    )


@compilable("memory attention", features=(0,), memory=(0, 1), positions=(0,), key_rotation=(0,))
def _attend_with_tables(
    module: Sam2VideoMemoryAttention,
    features: FrameFeatures,
    memory: Tensor,
    positions: Tensor,
    rotation: Rotation,
    key_rotation: Rotation,
    places: Tensor,
    projections: Projections,
    recomputed: Recomputed,
) -> Tensor:
    height = features.embedding.shape[-2]
    keyed = memory + positions
    state = rearrange(features.embedding, "n c h w -> n (h w) c")
    state = state + POSITION_SCALE * places
    is_shared = True
    for layer, projection in zip(module.layers, projections, strict=True):
        assert isinstance(layer, Sam2VideoMemoryAttentionLayer)
        state = run_but_keep_attention(
            recomputed,
            is_noisy(layer),
            _run_layer,
            layer,
            projection,
            state,
            features if is_shared else None,
            keyed,
            memory,
            rotation,
            key_rotation,
            recomputed,
        )
        is_shared = False
    return rearrange(module.layer_norm(state), "n (h w) c -> n c h w", h=height)


def _run_layer(
    layer: Sam2VideoMemoryAttentionLayer,
    projection: Joined | None,
    state: Tensor,
    shared: FrameFeatures | None,
    keyed: Tensor,
    memory: Tensor,
    rotation: Rotation,
    key_rotation: Rotation,
    recomputed: Recomputed,
) -> Tensor:
    """Return the state of each object; `keyed` is memory with its positions.

    `shared` are the features of whose images the state is still, each of them once.
    """
    if shared is not None and is_noisy(layer):
        state, shared = shared.spread(state), None
    # "light" keeps what is said in place of the matrix; "cheap" makes both again for one layer
    attended = _attend_to_self(
        layer, projection, state, rotation, "none" if recomputed == "light" else "all"
    )
    state = _add(state, drop(layer.dropout1, attended))
    query = rotate(layer.cross_attn_image.q_proj(layer.layer_norm2(state)), rotation)
    if shared is not None:
        state, query = shared.spread(state), shared.spread(query)
    said = _attend_across(
        layer.cross_attn_image,
        query,
        keyed,
        memory,
        key_rotation,
        _KEPT_OF_MEMORY.get(recomputed, "all"),
    )
    state = _add(state, drop(layer.dropout2, said))
    return _add(state, _feed_forward(layer, state))


def _add(state: Tensor, said: Tensor) -> Tensor:
    """Add half precision to single: a CPU is faster if told to convert it first."""
    return state + said.to(state.dtype)


def _attend_to_self(
    layer: Sam2VideoMemoryAttentionLayer,
    projection: Joined | None,
    state: Tensor,
    rotation: Rotation,
    kept: KeptMatrices,
) -> Tensor:
    attention, normed = layer.self_attn, layer.layer_norm1(state)
    if projection is not None:
        queries, keys, values = split_and_rotate(projection(normed), rotation)
    else:
        queries = rotate(attention.q_proj(normed), rotation)
        keys = rotate(attention.k_proj(normed), rotation)
        values = attention.v_proj(normed)
    dropout = _dropout(attention)
    return attention.o_proj(attend(queries, keys, values, dropout, kept=kept))


def _attend_across(
    attention: Sam2VideoRoPEAttention,
    query: Tensor,
    keyed: Tensor,
    memory: Tensor,
    key_rotation: Rotation,
    kept: KeptMatrices,
) -> Tensor:
    dropout = _dropout(attention)
    keys = rotate(attention.k_proj(keyed), key_rotation)
    if not has_narrow_kernel(query) or is_noisy(attention.v_proj):
        return attention.o_proj(attend(query, keys, attention.v_proj(memory), dropout))
    values = memory.to(query.dtype)
    if dropout == 0:
        attended = attention.v_proj(attend(query, keys, values, kept=kept))
    else:
        attended = _project_dropped(
            attention.v_proj, attend(query, keys, F.pad(values, (0, 1), value=1.0), dropout)
        )
    return attention.o_proj(attended)


def _feed_forward(layer: Sam2VideoMemoryAttentionLayer, state: Tensor) -> Tensor:
    hidden = drop(layer.dropout, layer.activation(layer.linear1(layer.layer_norm3(state))))
    return drop(layer.dropout3, layer.linear2(hidden))


def _project_dropped(projection: nn.Module, attended: Tensor) -> Tensor:
    """Project what an attention matrix said of memory; the last channel is the sum of its rows."""
    said, sums = attended[..., :-1], attended[..., -1:]
    bias = projection(said.new_zeros(said.shape[-1]))
    return projection(said) + (sums - 1) * bias


def _dropout(attention: Sam2VideoRoPEAttention) -> float:
    return attention.dropout_p if attention.training else 0.0


def is_noisy(module: nn.Module) -> bool:
    """Say whether dropout acts anywhere in a module: of attention, or beside it, or of adapters."""
    return any(
        part.training and (getattr(part, "dropout_p", 0.0) or getattr(part, "p", 0.0))
        for part in module.modules()
        if isinstance(part, (nn.Dropout, Sam2VideoRoPEAttention))
    )


def feature_positions(
    network: Sam2VideoModel, embedding: Tensor
) -> Float[Tensor, "tokens channels"]:
    """Return the sine positions of the image features, in fp32 (half precision errs by 0.016)."""
    encode = network.vision_encoder.neck.position_encoding
    return _sine_positions(encode, *embedding.shape[1:], embedding.device)


def memory_positions(
    network: Sam2VideoModel, height: int, width: int
) -> Float[Tensor, "tokens channels"]:
    """Return the sine positions of one frame's spatial memory, in fp32."""
    encode = network.memory_encoder.position_encoding
    return _sine_positions(encode, network.mem_dim, height, width, network.device)


@lru_cache(maxsize=8)
def _sine_positions(
    encode: nn.Module,
    channels: int,
    height: int,
    width: int,
    device: torch.device,
) -> Tensor:
    with torch.inference_mode(False):
        shape = torch.Size((1, channels, height, width))
        return rearrange(encode(shape, device, torch.float32), "1 c h w -> (h w) c")
