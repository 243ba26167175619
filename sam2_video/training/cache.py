"""The verb `cache`: fill the feature cache of a configuration, without training."""

from dataclasses import dataclass
from pathlib import Path

from sam2_video.config import TrainConfig
from sam2_video.feature_cache import Stale
from sam2_video.training import messages
from sam2_video.training.features import Machine, open_features
from sam2_video.training.machine import choose_precision, count_devices, resolve_accelerator
from sam2_video.training.prepare import load_tuner, open_data


@dataclass(frozen=True)
class CacheResult:
    """What a cache holds for a configuration, and what it holds besides."""

    folder: Path
    num_videos: int
    num_frames: int
    num_bytes: int
    num_encoded: int
    seconds: float
    stale: Stale


def cache(config: TrainConfig, *, deletes_stale: bool = False) -> CacheResult:
    """Encode the training frames of a configuration into `dataset.feature_cache`.

    Args:
        config: As for training.
        deletes_stale: Delete all features in that folder that this configuration does not use.

    Raises:
        ValueError: no folder is named, the encoder learns, or there is no room.
        FileNotFoundError: data or weights are missing.
    """
    if config.dataset.feature_cache is None:
        raise ValueError(
            "dataset.feature_cache: got null; expected the folder in which features are kept"
        )
    with messages.RunLog(config.debug), messages.without_noise(is_debug=config.debug):
        accelerator = resolve_accelerator(config.trainer.accelerator)
        machine = Machine(
            accelerator,
            count_devices(config.trainer.devices, accelerator),
            choose_precision(config.trainer.precision, accelerator),
        )
        tuner = load_tuner(config)
        datamodule = open_data(config)
        filled, stale = open_features(
            config, tuner.model, datamodule, machine, deletes_stale=deletes_stale
        )
    num_frames = sum(video.num_frames for video in datamodule.train_videos)
    return CacheResult(
        filled.rows[0].path.parent,
        len(datamodule.train_videos),
        num_frames,
        filled.num_bytes,
        filled.num_encoded,
        filled.seconds,
        stale,
    )
