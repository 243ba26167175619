"""The names of SAM 2's parameters: Meta's and transformers', one table, both ways."""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

# Meta's prefix -> transformers'; what stands in {} carries over in order. First match wins, and
# what matches nothing has one name in both worlds.
_RENAMES: tuple[tuple[str, str], ...] = (
    ("image_encoder.trunk.patch_embed.proj.", "vision_encoder.backbone.patch_embed.projection."),
    (
        "image_encoder.trunk.blocks.{}.norm{}.",
        "vision_encoder.backbone.blocks.{}.layer_norm{}.",
    ),
    (
        "image_encoder.trunk.blocks.{}.mlp.layers.0.",
        "vision_encoder.backbone.blocks.{}.mlp.proj_in.",
    ),
    (
        "image_encoder.trunk.blocks.{}.mlp.layers.1.",
        "vision_encoder.backbone.blocks.{}.mlp.proj_out.",
    ),
    ("image_encoder.trunk.", "vision_encoder.backbone."),
    ("image_encoder.neck.convs.{}.conv.", "vision_encoder.neck.convs.{}."),
    ("sam_prompt_encoder.mask_downscaling.0.", "prompt_encoder.mask_embed.conv1."),
    ("sam_prompt_encoder.mask_downscaling.1.", "prompt_encoder.mask_embed.layer_norm1."),
    ("sam_prompt_encoder.mask_downscaling.3.", "prompt_encoder.mask_embed.conv2."),
    ("sam_prompt_encoder.mask_downscaling.4.", "prompt_encoder.mask_embed.layer_norm2."),
    ("sam_prompt_encoder.mask_downscaling.6.", "prompt_encoder.mask_embed.conv3."),
    ("sam_prompt_encoder.", "prompt_encoder."),
    (
        "sam_mask_decoder.transformer.layers.{}.norm{}.",
        "mask_decoder.transformer.layers.{}.layer_norm{}.",
    ),
    (
        "sam_mask_decoder.transformer.norm_final_attn.",
        "mask_decoder.transformer.layer_norm_final_attn.",
    ),
    (
        "sam_mask_decoder.transformer.layers.{}.mlp.layers.0.",
        "mask_decoder.transformer.layers.{}.mlp.proj_in.",
    ),
    (
        "sam_mask_decoder.transformer.layers.{}.mlp.layers.1.",
        "mask_decoder.transformer.layers.{}.mlp.proj_out.",
    ),
    (
        "sam_mask_decoder.transformer.layers.{}.{attention}.out_proj.",
        "mask_decoder.transformer.layers.{}.{attention}.o_proj.",
    ),
    (
        "sam_mask_decoder.transformer.final_attn_token_to_image.out_proj.",
        "mask_decoder.transformer.final_attn_token_to_image.o_proj.",
    ),
    ("sam_mask_decoder.output_upscaling.0.", "mask_decoder.upscale_conv1."),
    ("sam_mask_decoder.output_upscaling.1.", "mask_decoder.upscale_layer_norm."),
    ("sam_mask_decoder.output_upscaling.3.", "mask_decoder.upscale_conv2."),
    (
        "sam_mask_decoder.output_hypernetworks_mlps.{}.layers.0.",
        "mask_decoder.output_hypernetworks_mlps.{}.proj_in.",
    ),
    (
        "sam_mask_decoder.output_hypernetworks_mlps.{}.layers.1.",
        "mask_decoder.output_hypernetworks_mlps.{}.layers.0.",
    ),
    (
        "sam_mask_decoder.output_hypernetworks_mlps.{}.layers.2.",
        "mask_decoder.output_hypernetworks_mlps.{}.proj_out.",
    ),
    ("sam_mask_decoder.{head}.layers.0.", "mask_decoder.{head}.proj_in."),
    ("sam_mask_decoder.{head}.layers.1.", "mask_decoder.{head}.layers.0."),
    ("sam_mask_decoder.{head}.layers.2.", "mask_decoder.{head}.proj_out."),
    ("sam_mask_decoder.", "mask_decoder."),
    ("memory_attention.layers.{}.norm{}.", "memory_attention.layers.{}.layer_norm{}."),
    (
        "memory_attention.layers.{}.{attention}.out_proj.",
        "memory_attention.layers.{}.{attention}.o_proj.",
    ),
    ("memory_attention.norm.", "memory_attention.layer_norm."),
    (
        "memory_encoder.mask_downsampler.encoder.0.",
        "memory_encoder.mask_downsampler.layers.0.conv.",
    ),
    (
        "memory_encoder.mask_downsampler.encoder.1.",
        "memory_encoder.mask_downsampler.layers.0.layer_norm.",
    ),
    (
        "memory_encoder.mask_downsampler.encoder.3.",
        "memory_encoder.mask_downsampler.layers.1.conv.",
    ),
    (
        "memory_encoder.mask_downsampler.encoder.4.",
        "memory_encoder.mask_downsampler.layers.1.layer_norm.",
    ),
    (
        "memory_encoder.mask_downsampler.encoder.6.",
        "memory_encoder.mask_downsampler.layers.2.conv.",
    ),
    (
        "memory_encoder.mask_downsampler.encoder.7.",
        "memory_encoder.mask_downsampler.layers.2.layer_norm.",
    ),
    (
        "memory_encoder.mask_downsampler.encoder.9.",
        "memory_encoder.mask_downsampler.layers.3.conv.",
    ),
    (
        "memory_encoder.mask_downsampler.encoder.10.",
        "memory_encoder.mask_downsampler.layers.3.layer_norm.",
    ),
    ("memory_encoder.mask_downsampler.encoder.12.", "memory_encoder.mask_downsampler.final_conv."),
    ("memory_encoder.pix_feat_proj.", "memory_encoder.feature_projection."),
    ("memory_encoder.out_proj.", "memory_encoder.projection."),
    (
        "memory_encoder.fuser.layers.{}.dwconv.",
        "memory_encoder.memory_fuser.layers.{}.depthwise_conv.",
    ),
    ("memory_encoder.fuser.layers.{}.norm.", "memory_encoder.memory_fuser.layers.{}.layer_norm."),
    (
        "memory_encoder.fuser.layers.{}.pwconv{}.",
        "memory_encoder.memory_fuser.layers.{}.pointwise_conv{}.",
    ),
    ("memory_encoder.fuser.layers.{}.gamma", "memory_encoder.memory_fuser.layers.{}.scale"),
    ("maskmem_tpos_enc", "memory_temporal_positional_encoding"),
    ("no_mem_embed", "no_memory_embedding"),
    ("no_mem_pos_enc", "no_memory_positional_encoding"),
    ("no_obj_ptr", "no_object_pointer"),
    ("no_obj_embed_spatial", "occlusion_spatial_embedding_parameter"),
    ("obj_ptr_proj.layers.0.", "object_pointer_proj.proj_in."),
    ("obj_ptr_proj.layers.1.", "object_pointer_proj.layers.0."),
    ("obj_ptr_proj.layers.2.", "object_pointer_proj.proj_out."),
    ("obj_ptr_tpos_proj.", "temporal_positional_encoding_projection_layer."),
)
_GROUPS = {
    "{}": r"(\d+)",
    "{attention}": r"([a-z_]*attn[a-z_]*)",
    "{head}": r"(iou_prediction_head|pred_obj_score_head)",
}
_META_GAUSSIAN = "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
_OUR_GAUSSIANS = (
    "prompt_encoder.shared_embedding.positional_embedding",
    "shared_image_embedding.positional_embedding",
)
_META_POINTS = tuple(f"sam_prompt_encoder.point_embeddings.{i}.weight" for i in range(4))
_OUR_POINTS = "prompt_encoder.point_embed.weight"


def _compile(source: str, target: str) -> tuple[re.Pattern[str], str]:
    """Return the pattern of a source prefix, and the target with group references."""
    holes = re.split(r"(\{[a-z]*\})", source)
    pattern = "".join(_GROUPS.get(part) or re.escape(part) for part in holes)
    replaced = target
    for group, hole in enumerate(re.findall(r"\{[a-z]*\}", target), start=1):
        replaced = replaced.replace(hole, f"\\g<{group}>", 1)
    return re.compile(pattern), replaced


_TO_OURS = [_compile(meta, ours) for meta, ours in _RENAMES]
_TO_META = [_compile(ours, meta) for meta, ours in _RENAMES]


def _rename(name: str, rules: list[tuple[re.Pattern[str], str]]) -> str | None:
    for pattern, target in rules:
        match = pattern.match(name)
        if match:
            return match.expand(target) + name[match.end() :]
    return None


def meta_name(name: str) -> str:
    """Return Meta's name of a parameter (transformers' where Meta has none of that name).

    >>> meta_name("memory_encoder.memory_fuser.layers.1.pointwise_conv2.bias")
    'memory_encoder.fuser.layers.1.pwconv2.bias'
    """
    if name in _OUR_GAUSSIANS:
        return _META_GAUSSIAN
    if name == _OUR_POINTS:
        return "sam_prompt_encoder.point_embeddings"
    return _rename(name, _TO_META) or name


def is_meta(names: Iterable[str]) -> bool:
    """Say whether a checkpoint's names are Meta's: only there a tensor is of `image_encoder`."""
    return any(name.startswith("image_encoder.") for name in names)


def complete_twins(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return transformers' state with both of its two equal matrices, which some files share."""
    present = [name for name in _OUR_GAUSSIANS if name in state]
    twins = {name: state[present[0]].clone() for name in _OUR_GAUSSIANS} if present else {}
    return twins | dict(state)


def from_meta(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a Meta state dict under transformers' names; unknown names stay as they are.

    Two groups are not one to one: Meta's four point embeddings are stacked here, and its one
    matrix of random frequencies serves two modules.
    """
    renamed: dict[str, Tensor] = {}
    points = [state[name] for name in _META_POINTS if name in state]
    # what does not stack stays, and is found to be wrong by whoever compares shapes
    is_stacked = len(points) == len(_META_POINTS) and len({x.shape[1:] for x in points}) == 1
    for name, tensor in state.items():
        if name == _META_GAUSSIAN:
            # two tensors: safetensors refuses names that share one
            renamed |= {ours: tensor.clone() for ours in _OUR_GAUSSIANS}
        elif not is_stacked or name not in _META_POINTS:
            renamed[_rename(name, _TO_OURS) or name] = tensor
    if is_stacked:
        renamed[_OUR_POINTS] = torch.cat(points)
    return renamed


def to_meta(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a transformers state dict under Meta's names: the inverse of `from_meta`."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name in _OUR_GAUSSIANS:
            renamed[_META_GAUSSIAN] = tensor
        elif name == _OUR_POINTS:
            renamed |= dict(zip(_META_POINTS, tensor.split(1), strict=True))
        else:
            renamed[_rename(name, _TO_META) or name] = tensor
    return renamed
