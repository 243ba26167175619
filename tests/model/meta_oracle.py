"""Meta's own SAM2Train with our weights: the oracle of the parity tests."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from sam2_video.model.keymap import to_meta
from sam2_video.model.sam2 import SAM2Model

META_CONFIGS = {
    "sam2.1-tiny": "sam2.1/sam2.1_hiera_t",
    "sam2.1-base-plus": "sam2.1/sam2.1_hiera_b+",
    "sam2-tiny": "sam2/sam2_hiera_t",
}


def jitter(model: SAM2Model, seed: int) -> None:
    """Move every parameter: zeros and the 1e-6 layer scales would hide differences."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.02)


def build_meta(model: SAM2Model, **settings: Any) -> torch.nn.Module:
    """Return Meta's SAM2Train with the model's architecture, size and weights.

    It corrects no frame by clicks, and keeps the frames it prompted in `conditioning_frames`.
    """
    pytest.importorskip("training.model.sam2", reason="Meta's sam2 1.1.0 is not installed")
    import sam2
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    name = META_CONFIGS[model.architecture.name]
    config = OmegaConf.load(Path(sam2.__file__).parent / "configs" / f"{name}.yaml").model
    config["_target_"] = "training.model.sam2.SAM2Train"
    side = model.image_size[0] // 16
    config["image_size"] = model.image_size[0]
    layer = config["memory_attention"]["layer"]
    layer["dropout"] = 0.0
    for attention in ("self_attention", "cross_attention"):
        layer[attention]["dropout"] = 0.0
        layer[attention]["feat_sizes"] = [side, side]
    settings = {"rand_init_cond_frames_for_train": False} | settings
    meta = instantiate(config, **settings)
    state = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    meta.load_state_dict(to_meta(state), strict=True)
    prepare = meta.prepare_prompt_inputs

    def prepare_without_corrections(backbone_out: dict, batch: Any) -> dict:
        prepared = prepare(backbone_out, batch) | {"frames_to_add_correction_pt": []}
        meta.conditioning_frames = prepared["init_cond_frames"]
        return prepared

    meta.prepare_prompt_inputs = prepare_without_corrections
    return meta


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
