"""The keys of Meta's model YAML, and what each of them says of an architecture."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from sam2_video.model.architecture import PATCH_SIZE, Architecture

MODEL = "model"
MEMORY_SIZE = 64
"""Channels of a memory, the same in every SAM 2."""
_SAM2 = "sam2.modeling"


def meta_keys(architecture: Architecture, side: int) -> dict[str, Any]:
    """Return the keys of Meta's YAML for an architecture at square frames of `side` pixels."""
    return {
        MODEL: {
            "_target_": f"{_SAM2}.sam2_base.SAM2Base",
            "image_encoder": _image_encoder(architecture),
            "memory_attention": _memory_attention(architecture, side // PATCH_SIZE),
            "memory_encoder": _memory_encoder(architecture),
            "num_maskmem": 7,
            "image_size": side,
            "backbone_stride": PATCH_SIZE,
            "sigmoid_scale_for_mem_enc": 20.0,
            "sigmoid_bias_for_mem_enc": -10.0,
            "use_mask_input_as_output_without_sam": True,
            "directly_add_no_mem_embed": True,
            "no_obj_embed_spatial": architecture.has_occlusion_embedding,
            "use_high_res_features_in_sam": True,
            "iou_prediction_use_sigmoid": True,
            "use_obj_ptrs_in_encoder": True,
            "max_obj_ptrs_in_encoder": 16,
            "add_tpos_enc_to_obj_ptrs": architecture.has_pointer_time,
            "proj_tpos_enc_in_obj_ptrs": architecture.has_pointer_time,
            "use_signed_tpos_enc_to_obj_ptrs": architecture.has_pointer_time,
            "only_obj_ptrs_in_the_past_for_eval": True,
            "use_mlp_for_obj_ptr_proj": True,
            "pred_obj_scores": True,
            "pred_obj_scores_mlp": True,
            "fixed_no_obj_ptr": True,
            "multimask_output_in_sam": True,
            "multimask_output_for_tracking": architecture.has_tracking_hypotheses,
            "multimask_min_pt_num": 0,
            "multimask_max_pt_num": 1,
            "use_multimask_token_for_obj_ptr": True,
        }
    }


def _image_encoder(architecture: Architecture) -> dict[str, Any]:
    image_encoder = f"{_SAM2}.backbones.image_encoder"
    return {
        "_target_": f"{image_encoder}.ImageEncoder",
        "scalp": 1,
        "trunk": {
            "_target_": f"{_SAM2}.backbones.hieradet.Hiera",
            "embed_dim": architecture.embed_dim,
            "num_heads": architecture.num_heads,
            "stages": list(architecture.blocks_per_stage),
            "global_att_blocks": list(architecture.global_attention_blocks),
            "window_spec": list(architecture.window_sizes),
            "window_pos_embed_bkg_spatial_size": list(architecture.background_size),
        },
        "neck": {
            "_target_": f"{image_encoder}.FpnNeck",
            "position_encoding": _position_encoding(architecture.hidden_size),
            "d_model": architecture.hidden_size,
            "backbone_channel_list": [architecture.embed_dim * 2**i for i in (3, 2, 1, 0)],
            "fpn_top_down_levels": [2, 3],
            "fpn_interp_model": "nearest",
        },
    }


def _memory_attention(architecture: Architecture, num_patches: int) -> dict[str, Any]:
    attention = partial(_attention, architecture.hidden_size, num_patches)
    return {
        "_target_": f"{_SAM2}.memory_attention.MemoryAttention",
        "d_model": architecture.hidden_size,
        "pos_enc_at_input": True,
        "num_layers": architecture.memory_layers,
        "layer": {
            "_target_": f"{_SAM2}.memory_attention.MemoryAttentionLayer",
            "activation": "relu",
            "d_model": architecture.hidden_size,
            "dim_feedforward": architecture.feed_forward_size,
            "dropout": 0.0,
            "pos_enc_at_attn": False,
            "pos_enc_at_cross_attn_keys": True,
            "pos_enc_at_cross_attn_queries": False,
            "self_attention": attention(),
            "cross_attention": attention(rope_k_repeat=True, kv_in_dim=MEMORY_SIZE),
        },
    }


def _attention(size: int, num_patches: int, **cross: int) -> dict[str, Any]:
    return {
        "_target_": f"{_SAM2}.sam.transformer.RoPEAttention",
        "rope_theta": 10000.0,
        "feat_sizes": [num_patches, num_patches],
        **cross,
        "embedding_dim": size,
        "num_heads": 1,
        "downsample_rate": 1,
        "dropout": 0.0,
    }


def _memory_encoder(architecture: Architecture) -> dict[str, Any]:
    memory_encoder, hidden = f"{_SAM2}.memory_encoder", architecture.hidden_size
    return {
        "_target_": f"{memory_encoder}.MemoryEncoder",
        "in_dim": hidden,
        "out_dim": MEMORY_SIZE,
        "position_encoding": _position_encoding(MEMORY_SIZE),
        "mask_downsampler": {
            "_target_": f"{memory_encoder}.MaskDownSampler",
            "embed_dim": hidden,
            "kernel_size": 3,
            "stride": 2,
            "padding": 1,
        },
        "fuser": {
            "_target_": f"{memory_encoder}.Fuser",
            "num_layers": 2,
            "layer": {
                "_target_": f"{memory_encoder}.CXBlock",
                "dim": hidden,
                "kernel_size": 7,
                "padding": 3,
                "layer_scale_init_value": 1e-6,
                "use_dwconv": True,
            },
        },
    }


def _position_encoding(num_features: int) -> dict[str, Any]:
    return {
        "_target_": f"{_SAM2}.position_encoding.PositionEmbeddingSine",
        "num_pos_feats": num_features,
        "normalize": True,
        "scale": None,
        "temperature": 10000,
    }


def flatten_keys(keys: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested keys by dotted path.

    >>> flatten_keys({"model": {"num_maskmem": 7}})
    {'model.num_maskmem': 7}
    """
    flat: dict[str, Any] = {}
    for name, value in keys.items():
        if isinstance(value, Mapping):
            flat |= flatten_keys(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
