"""Meta's own SAM2Train and official loss with our weights: the oracle of the parity tests."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sam2_video.model.architecture import Architecture
from sam2_video.model.keymap import to_meta
from sam2_video.model.sam2 import SAM2Model

META_CONFIGS = {
    "sam2.1-tiny": "sam2.1/sam2.1_hiera_t",
    "sam2.1-base-plus": "sam2.1/sam2.1_hiera_b+",
    "sam2-tiny": "sam2/sam2_hiera_t",
}
RECIPE = "sam2.1_training/sam2.1_hiera_b+_MOSE_finetune"
MEMORY_CHANNELS = 64
# what Meta's video predictor sets beside its YAML
EVALUATION = {
    "binarize_mask_from_pts_for_mem_enc": True,
    "sam_mask_decoder_extra_args": {
        "dynamic_multimask_via_stability": True,
        "dynamic_multimask_stability_delta": 0.05,
        "dynamic_multimask_stability_thresh": 0.98,
    },
}


def jitter(model: SAM2Model, seed: int) -> None:
    """Move every parameter: zeros and the 1e-6 layer scales would hide differences."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.02)


def build_meta(model: SAM2Model, dropout: float = 0.0, **settings: Any) -> Any:
    """Return Meta's SAM2Train with the model's architecture, size and weights.

    It corrects frames by clicks only where `is_corrected`, keeps the frames it prompted in
    `conditioning_frames`, and leaves the object pointers in its outputs. `dropout` is that of
    memory attention; Meta's own is 0.1.
    """
    settings = {"rand_init_cond_frames_for_train": False} | settings
    meta = instantiate_meta(model, "training.model.sam2.SAM2Train", settings, dropout)
    meta.is_corrected = False
    _choose_whether_to_correct(meta)
    _keep_pointers(meta)
    return meta


def instantiate_meta(
    model: SAM2Model, target: str, settings: Mapping[str, Any], dropout: float = 0.0
) -> Any:
    """Return an object of Meta's class `target` with the model's architecture, size and weights."""
    pytest.importorskip(target.rpartition(".")[0], reason="Meta's sam2 1.1.0 is not installed")
    from hydra.utils import instantiate

    architecture = model.architecture
    if architecture.name in META_CONFIGS:
        config = read_meta_yaml(META_CONFIGS[architecture.name]).model
    else:
        config = _small_config(architecture)
    config["_target_"] = target
    config["multimask_output_for_tracking"] = architecture.has_tracking_hypotheses
    side = model.image_size[0] // 16
    config["image_size"] = model.image_size[0]
    layer = config["memory_attention"]["layer"]
    layer["dropout"] = dropout
    for attention in ("self_attention", "cross_attention"):
        layer[attention]["dropout"] = dropout
        layer[attention]["feat_sizes"] = [side, side]
    meta = instantiate(config, **settings)
    if architecture.name not in META_CONFIGS:
        _shrink_what_meta_fixes(meta, architecture)
    meta.load_state_dict(to_meta(_clone(model.network.state_dict())), strict=True)
    return meta


def meta_loss() -> nn.Module:
    """Return the official loss with the weights and settings of Meta's own fine-tuning recipe."""
    pytest.importorskip("training.loss_fns", reason="Meta's sam2 1.1.0 is not installed")
    from hydra.utils import instantiate

    return instantiate(read_meta_yaml(RECIPE).trainer.loss.all)


def read_meta_yaml(name: str) -> Any:
    """Return one of the configurations that Meta's distribution carries."""
    import sam2
    from omegaconf import OmegaConf

    return OmegaConf.load(Path(sam2.__file__).parent / "configs" / f"{name}.yaml")


def draw_from(meta: Any, seed: int) -> None:
    """Let Meta's choice of conditioning frames, which it seeds with 42, follow from `seed`."""
    meta.rng = np.random.default_rng(seed)


def meta_batch(pixels: Tensor, masks: Tensor, object_clip: Tensor) -> Any:
    """Return Meta's batch for pixels [clips frames 3 h w] and masks [objects frames h w]."""
    num_clips, num_frames = pixels.shape[:2]
    flat = pixels.transpose(0, 1).flatten(0, 1)
    rows = torch.stack([object_clip + frame * num_clips for frame in range(num_frames)])
    return SimpleNamespace(
        flat_img_batch=flat,
        num_frames=num_frames,
        masks=masks.transpose(0, 1),
        flat_obj_to_img_idx=rows,
        img_batch=pixels.transpose(0, 1),
    )


def _clone(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in state.items()}


def _small_config(architecture: Architecture) -> Any:
    """Return Meta's tiny with the widths and depths of an architecture that Meta does not have."""
    newer = architecture.has_occlusion_embedding
    if architecture.has_pointer_time != newer:
        raise ValueError(f"{architecture.name}: neither SAM 2 nor 2.1, so Meta has no YAML of it")
    config = read_meta_yaml(META_CONFIGS["sam2.1-tiny" if newer else "sam2-tiny"]).model
    hidden = architecture.hidden_size
    encoder = config.image_encoder
    encoder.trunk.embed_dim = architecture.embed_dim
    encoder.trunk.num_heads = architecture.num_heads
    encoder.trunk.stages = list(architecture.blocks_per_stage)
    encoder.trunk.global_att_blocks = list(architecture.global_attention_blocks)
    encoder.trunk.window_spec = list(architecture.window_sizes)
    encoder.trunk.window_pos_embed_bkg_spatial_size = list(architecture.background_size)
    encoder.neck.d_model = hidden
    encoder.neck.position_encoding.num_pos_feats = hidden
    encoder.neck.backbone_channel_list = [architecture.embed_dim * 2**i for i in (3, 2, 1, 0)]
    attention = config.memory_attention
    attention.d_model = attention.layer.d_model = hidden
    attention.layer.self_attention.embedding_dim = hidden
    attention.layer.cross_attention.embedding_dim = hidden
    attention.layer.dim_feedforward = architecture.feed_forward_size
    attention.num_layers = architecture.memory_layers
    config.memory_encoder.in_dim = hidden
    config.memory_encoder.mask_downsampler.embed_dim = hidden
    config.memory_encoder.fuser.layer.dim = hidden
    return config


def _shrink_what_meta_fixes(meta: Any, architecture: Architecture) -> None:
    """Rebuild the two parts whose widths Meta's code does not leave to its YAML."""
    from sam2.modeling.sam.mask_decoder import MaskDecoder
    from sam2.modeling.sam.transformer import TwoWayTransformer

    hidden = architecture.hidden_size
    transformer = TwoWayTransformer(
        depth=2,
        embedding_dim=hidden,
        mlp_dim=architecture.feed_forward_size,
        num_heads=architecture.decoder_heads,
    )
    meta.sam_mask_decoder = MaskDecoder(
        transformer=transformer,
        transformer_dim=hidden,
        iou_head_hidden_dim=hidden,
        use_high_res_features=meta.use_high_res_features_in_sam,
        iou_prediction_use_sigmoid=meta.iou_prediction_use_sigmoid,
        pred_obj_scores=meta.pred_obj_scores,
        pred_obj_scores_mlp=meta.pred_obj_scores_mlp,
        use_multimask_token_for_obj_ptr=meta.use_multimask_token_for_obj_ptr,
        **(meta.sam_mask_decoder_extra_args or {}),
    )
    # Meta leaves the projection out where the widths agree, transformers never
    meta.memory_encoder.out_proj = nn.Conv2d(hidden, MEMORY_CHANNELS, 1)


def _choose_whether_to_correct(meta: Any) -> None:
    prepare = meta.prepare_prompt_inputs

    def prepare_as_chosen(backbone_out: dict, batch: Any) -> dict:
        prepared = prepare(backbone_out, batch)
        if not meta.is_corrected:
            prepared["frames_to_add_correction_pt"] = []
        meta.conditioning_frames = prepared["init_cond_frames"]
        return prepared

    meta.prepare_prompt_inputs = prepare_as_chosen


def _keep_pointers(meta: Any) -> None:
    """Return all that Meta computes; its last lines take the pointers out for DDP's sake."""
    track = meta.forward_tracking

    def track_with_pointers(backbone_out: dict, batch: Any) -> list[dict]:
        said = track(backbone_out, batch, return_dict=True)
        frames = said["cond_frame_outputs"] | said["non_cond_frame_outputs"]
        return [frames[frame] for frame in range(batch.num_frames)]

    meta.forward_tracking = track_with_pointers
