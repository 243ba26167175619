"""Checks of a configuration that a single key's type and limits cannot express."""

import re
from collections.abc import Iterator
from pathlib import Path

from sam2_video.config import LossConfig, TrainConfig, TrainerConfig, every_set
from sam2_video.configuration.data_checks import check_data_values, named_paths
from sam2_video.configuration.feature_cache_checks import check_feature_cache
from sam2_video.configuration.problems import Problem, shown

_WEIGHT_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".tar", ".zip")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def check_values(config: TrainConfig) -> Iterator[Problem]:
    """Yield what is wrong with values that are each of the right type."""
    yield from check_data_values(config.dataset)
    yield from check_feature_cache(config)
    if not config.model.trainable_modules and not config.lora.modules:
        yield _problem(
            "model.trainable_modules",
            [],
            "at least one name (see `memory`), or adapters (lora.modules), or nothing learns",
        )
    prompts = config.prompts
    if prompts.mask + prompts.box + prompts.point == 0:
        yield _problem("prompts.mask", 0.0, "mask, box or point above 0: clips need a prompt")
    if prompts.validation_clicks and prompts.validation == "mask":
        yield _problem(
            "prompts.validation_clicks",
            prompts.validation_clicks,
            "0, because a given mask has no errors to correct; or give prompts.validation: box or "
            "point",
        )
    yield from _loss_values(config.losses)
    yield from _rates(config.trainer)
    if config.trainer.max_steps == 0:
        yield _problem("trainer.max_steps", 0, "a whole number >= 1, or -1 = no limit")
    dataset = config.dataset
    has_validation = any(
        one.val_path is not None or one.val_fraction > 0 for one, _ in every_set(dataset)
    )
    if config.trainer.early_stopping is not None and not has_validation:
        yield _problem(
            "trainer.early_stopping",
            config.trainer.early_stopping,
            "null, because there is no validation; give dataset.val_path or val_fraction > 0",
        )
    if config.trainer.ema_decay is not None and not has_validation:
        yield _problem(
            "trainer.ema_decay",
            config.trainer.ema_decay,
            "null, because without validation nothing tells whether the averaged weights are "
            "better; give dataset.val_path or val_fraction > 0",
        )


def _rates(trainer: TrainerConfig) -> Iterator[Problem]:
    for name, rate in trainer.lr_by_name.items():
        if rate <= 0:
            yield _problem(
                "trainer.lr_by_name",
                {name: rate},
                "rates > 0; what is not to learn is left out of model.trainable_modules",
            )
    for name, decay in trainer.weight_decay_by_name.items():
        if decay < 0:
            yield _problem("trainer.weight_decay_by_name", {name: decay}, "decays >= 0")


def _loss_values(losses: LossConfig) -> Iterator[Problem]:
    mask_terms = losses.bce, losses.focal, losses.dice, losses.soft_iou, losses.temporal
    if not any((*mask_terms, losses.iou_prediction, losses.object_score)):
        yield _problem("losses.focal", 0.0, "at least one weight of a loss above 0")
    if -1 < losses.focal_alpha < 0:
        yield _problem("losses.focal_alpha", losses.focal_alpha, "from 0 to 1, or -1 = none")


def check_training(config: TrainConfig) -> Iterator[Problem]:
    """Yield what keeps this configuration from training on this machine: data, files."""
    dataset = config.dataset
    if dataset.data_path is None:
        yield _problem("dataset.data_path", None, "a folder or a COCO file; give --data-path DIR")
    resume = "resume", config.resume, "a .ckpt file or the folder of a run"
    for key, value, expected in (*named_paths(dataset), resume):
        if value is not None and not _exists(value):
            yield _missing(key, value, expected)
    # a resumed run has its own weights
    checkpoint = config.model.checkpoint_path if config.resume is None else None
    if checkpoint is not None and not _exists(checkpoint) and not _is_hub_id(checkpoint):
        expected = "a file, a folder, or a hub id such as facebook/sam2.1-hiera-tiny"
        yield _missing("model.checkpoint_path", checkpoint, expected)


def _is_hub_id(name: str) -> bool:
    """Return whether a path that does not exist can be meant as `owner/model` on the hub."""
    is_file_name = name.lower().endswith(_WEIGHT_SUFFIXES)
    return bool(_HUB_ID.fullmatch(name)) and not is_file_name and not Path(name).parent.is_dir()


def _problem(path: str, value: object, expected: str) -> Problem:
    return Problem(path, f"got {shown(value)}; expected {expected}")


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:
        # Folders that this user may not enter, names longer than the file system takes.
        return False


def _missing(path: str, value: str, expected: str) -> Problem:
    looked = "" if Path(value).is_absolute() else f" (looked for {Path(value).absolute()})"
    state = f"which does not exist or cannot be read{looked}"
    return Problem(path, f"got {shown(value)}, {state}; expected {expected}")
