"""Fill the feature cache of a run before its first step, and let its clips come from there."""

import copy
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from sam2_video.augmentation import choose_strengths
from sam2_video.config import TrainConfig
from sam2_video.data.datamodule import ClipDataModule
from sam2_video.data.encoded import TRANSFORM, open_encoded, want
from sam2_video.feature_cache import (
    Encoder,
    Filled,
    RowLayout,
    Stale,
    delete_stale,
    describe_stale,
    fill,
    find_stale,
    hash_facts,
    hash_weights,
    readable,
)
from sam2_video.model.sam2 import SAM2Model
from sam2_video.structures import FrameLevels

VERSION = 1
"""Raised when the same weights and frames come to other features."""
_AUTOCAST = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}
_LOCAL_RANKS = ("LOCAL_RANK", "SLURM_LOCALID")


@dataclass(frozen=True)
class Machine:
    """What a run computes on: the resolved accelerator, devices of this machine, precision."""

    accelerator: str
    num_devices: int
    precision: str


def check_encoder_is_frozen(model: SAM2Model) -> None:
    """Refuse to keep what changes with each step.

    Raises:
        ValueError: the image encoder, or an adapter in it, learns; names what.
    """
    learning = [
        name for name, p in model.network.vision_encoder.named_parameters() if p.requires_grad
    ]
    if learning:
        raise ValueError(
            f"dataset.feature_cache: the image encoder learns (vision_encoder.{learning[0]} and "
            f"{len(learning) - 1} more), so what it says of a frame changes with each step; "
            "expected null, or nothing of the encoder in model.trainable_modules and lora.modules"
        )


def open_features(
    config: TrainConfig,
    model: SAM2Model,
    datamodule: ClipDataModule,
    machine: Machine,
    *,
    deletes_stale: bool = False,
) -> tuple[Filled, Stale]:
    """Encode what the cache lacks of the training videos, and give them to the data module.

    Validation reads images: it scores what `evaluate` will score.

    Args:
        config: Names a folder in `dataset.feature_cache`.
        model: As it will be trained.
        datamodule: With its videos.
        machine: That will train.
        deletes_stale: Delete what lies there unused, in place of saying how much it is.

    Returns:
        What was done, and what is left that is not used.

    Raises:
        ValueError: the encoder learns, or the cache does not fit on the disk.
        FileNotFoundError: a frame is gone.
    """
    assert config.dataset.feature_cache is not None
    check_encoder_is_frozen(model)
    height, width = config.dataset.image_size
    wanted = want(
        datamodule.train_videos,
        config.dataset.feature_cache_variants,
        choose_strengths(config.augmentation),
        (height, width),
    )
    encoders = _encoders(model, machine)
    first = encoders[0]
    blank = first.encode(torch.zeros(1, 3, height, width, device=first.device))
    layout = RowLayout.of(blank, config.dataset.feature_cache_dtype)
    filled = fill(
        features_folder(config, model, machine.precision, layout),
        [one for variants in wanted.values() for _, one in variants],
        layout,
        encoders,
        # one process a machine is enough, and the others wait for it before the first step
        are_rows_checked=all(os.environ.get(name, "0") == "0" for name in _LOCAL_RANKS),
    )
    datamodule.encoded = open_encoded(wanted, filled.rows)
    root = Path(config.dataset.feature_cache).expanduser()
    stale = find_stale(root, {rows.path for rows in filled.rows})
    if deletes_stale:
        delete_stale(stale)
        return filled, Stale((), 0)
    describe_stale(root, stale)
    return filled, stale


def features_folder(
    config: TrainConfig, model: SAM2Model, precision: str, layout: RowLayout
) -> Path:
    """Return the folder of all features that these weights and settings come to."""
    assert config.dataset.feature_cache is not None
    network = model.network
    weights: dict[str, Tensor] = dict(network.vision_encoder.state_dict())
    if layout.is_projected:
        for name in ("conv_s0", "conv_s1"):
            layer = network.mask_decoder.get_submodule(name)
            weights |= {f"{name}.{key}": value for key, value in layer.state_dict().items()}
    facts = {
        "version": VERSION,
        "weights": hash_weights(weights),
        "architecture": asdict(model.architecture),
        "image_size": model.image_size,
        "transform": TRANSFORM,
        "precision": precision,
        "layout": asdict(layout),
    }
    height, width = model.image_size
    name = (
        f"{readable(model.architecture.name)}-{height}x{width}-{layout.dtype}-{hash_facts(facts)}"
    )
    return Path(config.dataset.feature_cache).expanduser() / name


def _encoders(model: SAM2Model, machine: Machine) -> Sequence[Encoder]:
    """Return the model on each device that this process may use: all, if it is the only one."""
    if machine.accelerator != "gpu":
        devices = [torch.device(machine.accelerator)]
    elif "LOCAL_RANK" in os.environ:
        devices = [torch.device("cuda", int(os.environ["LOCAL_RANK"]))]
    else:
        devices = [torch.device("cuda", number) for number in range(machine.num_devices)]
    dtype = _AUTOCAST.get(machine.precision)
    return [Encoder(device, _Encode(model, device, dtype)) for device in devices]


class _Encode:
    """The frozen part of a model on a device, in the precision of training."""

    def __init__(self, model: SAM2Model, device: torch.device, dtype: torch.dtype | None) -> None:
        self._model = model if model.device == device else copy.deepcopy(model).to(device)
        self._device = device
        self._dtype = dtype

    def __call__(self, pixels: Float[Tensor, "images 3 height width"]) -> FrameLevels:
        # autocast and no_grad hold in one thread only
        is_mixed = self._dtype is not None
        with torch.no_grad(), torch.autocast(self._device.type, self._dtype, enabled=is_mixed):
            return self._model.encode_fixed(pixels)
