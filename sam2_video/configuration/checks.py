"""Checks of a configuration that a single key's type and limits cannot express."""

import re
from collections.abc import Iterator
from pathlib import Path

from sam2_video.config import DatasetConfig, LossConfig, TrainConfig
from sam2_video.configuration.problems import Problem, shown

# The strides of Hiera's last stage: both sides must divide by it.
SIZE_MULTIPLE = 32
_WEIGHT_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".tar", ".zip")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def check_values(config: TrainConfig) -> Iterator[Problem]:
    """Yield what is wrong with values that are each of the right type."""
    yield from _dataset_values(config.dataset)
    if not config.model.trainable_modules:
        yield _problem(
            "model.trainable_modules", [], "at least one name, or nothing learns; see `memory`"
        )
    prompts = config.prompts
    if prompts.mask + prompts.box + prompts.point == 0:
        yield _problem("prompts.mask", 0.0, "mask, box or point above 0: clips need a prompt")
    yield from _loss_values(config.losses)
    if config.trainer.max_steps == 0:
        yield _problem("trainer.max_steps", 0, "a whole number >= 1, or -1 = no limit")
    dataset = config.dataset
    has_validation = dataset.val_path is not None or dataset.val_fraction > 0
    if config.trainer.early_stopping is not None and not has_validation:
        yield _problem(
            "trainer.early_stopping",
            config.trainer.early_stopping,
            "null, because there is no validation; give dataset.val_path or val_fraction > 0",
        )


def _dataset_values(dataset: DatasetConfig) -> Iterator[Problem]:
    size = dataset.image_size
    if len(size) != 2 or any(side <= 0 or side % SIZE_MULTIPLE for side in size):
        expected = f"[height, width], both multiples of {SIZE_MULTIPLE} and > 0"
        rounded = [max(1, round(side / SIZE_MULTIPLE)) * SIZE_MULTIPLE for side in size]
        hint = f", such as {rounded}" if len(size) == 2 else ""
        yield _problem("dataset.image_size", size, expected + hint)
    stride = dataset.frame_stride
    if len(stride) != 2 or not 1 <= stride[0] <= stride[1]:
        yield _problem(
            "dataset.frame_stride", stride, "[smallest, largest] with 1 <= smallest <= largest"
        )
    for colour in dataset.colour_palette or []:
        if len(colour) != 3 or not all(0 <= channel <= 255 for channel in colour):
            yield _problem("dataset.colour_palette", colour, "[r, g, b], each from 0 to 255")
    if dataset.val_masks_path is not None and dataset.val_path is None:
        yield _problem(
            "dataset.val_masks_path", dataset.val_masks_path, "null, or dataset.val_path beside it"
        )


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
    paths = {
        "dataset.data_path": (dataset.data_path, "a folder of videos or a COCO JSON file"),
        "dataset.masks_path": (dataset.masks_path, "a folder"),
        "dataset.val_path": (dataset.val_path, "a folder of videos or a COCO JSON file"),
        "dataset.val_masks_path": (dataset.val_masks_path, "a folder"),
        "resume": (config.resume, "a .ckpt file or the folder of a run"),
    }
    for key, (value, expected) in paths.items():
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
