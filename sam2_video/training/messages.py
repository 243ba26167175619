"""What a run tells its user: the log, the table of what learns, the data, the outcome."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger
from rich.console import Console
from rich.table import Table

from sam2_video.data.datamodule import ClipDataModule
from sam2_video.model.sam2 import SAM2Model
from sam2_video.model.trainable import summarise

if TYPE_CHECKING:
    from sam2_video.training.run import TrainResult

NATIVE_SIDE = 1024


def open_log(output_dir: Path, is_debug: bool) -> list[int]:
    """Send log lines to the terminal and to `train.log`; return the handles for `close_log`."""
    level = "DEBUG" if is_debug else "INFO"
    logger.remove()
    terminal = logger.add(sys.stderr, level=level, format="<level>{level: <7}</level> {message}")
    file = logger.add(output_dir / "train.log", level=level, enqueue=False)
    return [terminal, file]


def close_log(handles: list[int]) -> None:
    """Close what `open_log` opened and log to the terminal again."""
    for handle in handles:
        logger.remove(handle)
    logger.add(sys.stderr)


def describe_model(model: SAM2Model) -> None:
    """Print the table of modules, their parameters and how many of them learn."""
    table = Table(
        title=f"{model.architecture.name} at {model.image_size[0]} x {model.image_size[1]} px"
    )
    table.add_column("module")
    table.add_column("parameters", justify="right")
    table.add_column("trainable", justify="right")
    lines = summarise(model.network)
    for line in lines:
        table.add_row(line.name, f"{line.num_parameters:,}", f"{line.num_trainable:,}")
    total = sum(line.num_parameters for line in lines)
    learning = sum(line.num_trainable for line in lines)
    table.add_section()
    table.add_row("all", f"{total:,}", f"{learning:,}")
    console = Console(width=72)
    with console.capture() as captured:
        console.print(table)
    logger.info(f"what learns:\n{captured.get().rstrip()}")
    if model.architecture.name != "micro" and max(model.image_size) < NATIVE_SIDE:
        logger.info(
            f"frames are {model.image_size[0]} x {model.image_size[1]} px; Meta's weights were "
            f"trained at {NATIVE_SIDE}: smaller is faster and weaker before fine-tuning"
        )


def describe_data(datamodule: ClipDataModule, image_size: tuple[int, int]) -> None:
    """Say how many videos are trained and validated on."""
    train, validation = datamodule.train_videos, datamodule.val_videos
    frames = sum(video.num_frames for video in train)
    logger.info(
        f"training on {len(train)} videos ({frames} frames), validating on {len(validation)} "
        f"whole videos"
    )
    if not validation:
        logger.warning("no validation (dataset.val_fraction is 0): best_model.pth = last weights")


def why_no_wandb() -> str | None:
    """Return why Weights & Biases cannot be used; None where it can."""
    if find_spec("wandb") is None:
        return "the wandb package is not installed (pip install sam2-video-training[wandb])"
    if os.environ.get("WANDB_MODE") in ("offline", "disabled"):
        return None
    netrc = Path.home() / ".netrc"
    if "WANDB_API_KEY" not in os.environ and not (
        netrc.is_file() and "wandb" in netrc.read_text(errors="replace")
    ):
        return "nobody is logged in (wandb login, or WANDB_API_KEY)"
    return None


def conclude(result: "TrainResult") -> None:
    """Say what came of the run, also when training did not help."""
    if not result.is_finished:
        return
    if result.before is None or result.best is None or result.last is None:
        logger.info(f"done; nothing was validated. Weights: {result.best_model}")
        return
    logger.info(
        f"validation J: before {result.before:.3f}, best {result.best:.3f}, last {result.last:.3f}"
    )
    if result.best <= result.before:
        logger.warning("training did not help: no validation was better than before training")
    logger.info(f"best weights: {result.best_model}")
