"""Named SAM 2 architectures and the transformers network each of them describes."""

import difflib
from dataclasses import dataclass

from transformers import (
    Sam2HieraDetConfig,
    Sam2VideoConfig,
    Sam2VideoMaskDecoderConfig,
    Sam2VideoModel,
    Sam2VideoPromptEncoderConfig,
    Sam2VisionConfig,
)

PATCH_SIZE = 16
SIDE_MULTIPLE = 32
"""Sides divide by the coarsest stride of the image encoder (32)."""


@dataclass(frozen=True)
class Architecture:
    """Everything that the tensor shapes of a SAM 2 network depend on, image size excepted.

    `has_pointer_time` and `has_occlusion_embedding` are what SAM 2.1 added to SAM 2: a projected
    temporal encoding of object pointers, and an embedding added to the memory of absent objects.
    `has_tracking_hypotheses`: three masks where an object is tracked without a click (as in every
    published SAM 2), or one.
    """

    name: str
    embed_dim: int
    num_heads: int
    blocks_per_stage: tuple[int, int, int, int]
    global_attention_blocks: tuple[int, ...]
    window_sizes: tuple[int, int, int, int] = (8, 4, 14, 7)
    background_size: tuple[int, int] = (7, 7)
    has_pointer_time: bool = True
    has_occlusion_embedding: bool = True
    has_tracking_hypotheses: bool = True
    hidden_size: int = 256
    decoder_heads: int = 8
    feed_forward_size: int = 2048
    memory_layers: int = 4
    fuser_size: int = 1024


_TRUNKS = {
    "tiny": (96, 1, (1, 2, 7, 2), (5, 7, 9), (8, 4, 14, 7), (7, 7)),
    "small": (96, 1, (1, 2, 11, 2), (7, 10, 13), (8, 4, 14, 7), (7, 7)),
    "base-plus": (112, 2, (2, 3, 16, 3), (12, 16, 20), (8, 4, 14, 7), (14, 14)),
    "large": (144, 2, (2, 6, 36, 4), (23, 33, 43), (8, 4, 16, 8), (7, 7)),
}
MICRO = Architecture(
    name="micro",
    embed_dim=16,
    num_heads=1,
    blocks_per_stage=(1, 1, 2, 1),
    global_attention_blocks=(3,),
    hidden_size=64,
    decoder_heads=4,
    feed_forward_size=256,
    memory_layers=2,
    fuser_size=256,
)


def _official(version: str, size: str) -> Architecture:
    is_new = version == "sam2.1"
    return Architecture(
        f"{version}-{size}",
        *_TRUNKS[size],
        has_pointer_time=is_new,
        has_occlusion_embedding=is_new,
    )


ARCHITECTURES = {
    architecture.name: architecture
    for architecture in (
        *(_official(version, size) for version in ("sam2.1", "sam2") for size in _TRUNKS),
        MICRO,
    )
}
_META_SUFFIXES = {"t": "tiny", "s": "small", "b+": "base-plus", "b": "base-plus", "l": "large"}


def find_architecture(name: str) -> Architecture:
    """Return the architecture of a name: `sam2.1-tiny`, `sam2-large`, `micro`, or Meta's.

    Meta's own names count too: `sam2.1_hiera_t`, `sam2_hiera_base_plus`.

    Raises:
        ValueError: no such architecture; names the nearest.

    >>> find_architecture("sam2.1_hiera_b+").name
    'sam2.1-base-plus'
    """
    plain = name.lower().replace("_hiera_", "-").replace("-hiera-", "-").replace("_", "-")
    version, _, size = plain.partition("-")
    plain = f"{version}-{_META_SUFFIXES.get(size, size)}" if size else plain
    if plain in ARCHITECTURES:
        return ARCHITECTURES[plain]
    near = difflib.get_close_matches(plain, ARCHITECTURES, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    known = ", ".join(ARCHITECTURES)
    raise ValueError(f"model.config_path: got {name!r}; expected one of {known}{hint}")


def check_image_size(image_size: tuple[int, int]) -> None:
    """Raise ValueError unless both sides (height, width) are positive multiples of 32."""
    if any(side <= 0 or side % SIDE_MULTIPLE for side in image_size):
        height, width = image_size
        raise ValueError(
            f"image_size: got [{height}, {width}]; expected height and width that are positive "
            f"multiples of {SIDE_MULTIPLE}, for example [512, 512]"
        )


def network_config(
    architecture: Architecture, image_size: tuple[int, int], dropout: float
) -> Sam2VideoConfig:
    """Return the transformers configuration of an architecture at (height, width) pixels.

    transformers does not carry an image size to the parts that depend on it, so each is set here:
    RoPE tables (width, height), prompt encoder, backbone feature sizes.
    """
    check_image_size(image_size)
    height, width = image_size
    hidden = architecture.hidden_size
    widths = [architecture.embed_dim * 2**stage for stage in range(4)]
    backbone = Sam2HieraDetConfig(
        hidden_size=architecture.embed_dim,
        num_attention_heads=architecture.num_heads,
        image_size=list(image_size),
        blocks_per_stage=list(architecture.blocks_per_stage),
        embed_dim_per_stage=widths,
        num_attention_heads_per_stage=[architecture.num_heads * 2**stage for stage in range(4)],
        window_size_per_stage=list(architecture.window_sizes),
        global_attention_blocks=list(architecture.global_attention_blocks),
        window_positional_embedding_background_size=list(architecture.background_size),
    )
    vision = Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=widths[::-1],
        backbone_feature_sizes=[[height // s, width // s] for s in (4, 8, 16)],
        fpn_hidden_size=hidden,
    )
    return Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config=Sam2VideoPromptEncoderConfig(hidden_size=hidden, image_size=height),
        mask_decoder_config=Sam2VideoMaskDecoderConfig(
            hidden_size=hidden,
            mlp_dim=architecture.feed_forward_size,
            num_attention_heads=architecture.decoder_heads,
            iou_head_hidden_dim=hidden,
        ),
        image_size=height,
        multimask_output_for_tracking=architecture.has_tracking_hypotheses,
        enable_occlusion_spatial_embedding=architecture.has_occlusion_embedding,
        enable_temporal_pos_encoding_for_object_pointers=architecture.has_pointer_time,
        memory_attention_hidden_size=hidden,
        memory_attention_num_layers=architecture.memory_layers,
        memory_attention_feed_forward_hidden_size=architecture.feed_forward_size,
        memory_attention_rope_feat_sizes=[width // PATCH_SIZE, height // PATCH_SIZE],
        memory_attention_dropout=dropout,
        memory_attention_rope_dropout=dropout,
        memory_encoder_hidden_size=hidden,
        mask_downsampler_embed_dim=hidden,
        memory_fuser_embed_dim=hidden,
        memory_fuser_intermediate_dim=architecture.fuser_size,
    )


def build_network(
    architecture: Architecture, image_size: tuple[int, int], dropout: float = 0.0
) -> Sam2VideoModel:
    """Build the network with random weights for frames of (height, width) pixels.

    Raises:
        ValueError: a side is not a multiple of 32.
    """
    network = Sam2VideoModel(network_config(architecture, image_size, dropout))
    height, width = image_size
    # transformers knows one side only
    network.prompt_encoder.image_embedding_size = (height // PATCH_SIZE, width // PATCH_SIZE)
    network.prompt_encoder.mask_input_size = (height // 4, width // 4)
    return network
