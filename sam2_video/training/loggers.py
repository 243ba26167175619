"""Where the metrics of a run go: `metrics.csv` and TensorBoard always, W&B when it can be had."""

import os
from importlib.util import find_spec
from pathlib import Path

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from loguru import logger

from sam2_video.training.folder import TENSORBOARD
from sam2_video.training.metrics_log import MetricsCsv


def open_loggers(
    output_dir: Path, table: MetricsCsv, first_step: int | None, wandb_project: str | None
) -> list[Logger]:
    """Return the loggers of a run.

    Args:
        output_dir: of the run.
        table: the run's `metrics.csv`.
        first_step: of a resumed run: TensorBoard hides what is there from this step on.
        wandb_project: None = no Weights & Biases.
    """
    loggers: list[Logger] = [
        table,
        TensorBoardLogger(str(output_dir), name="", version=TENSORBOARD, purge_step=first_step),
    ]
    if wandb_project is not None:
        reason = why_no_wandb() or _start_wandb(loggers, output_dir, wandb_project)
        if reason is not None:
            logger.warning(f"use_wandb: {reason}; logging to TensorBoard and metrics.csv")
    return loggers


def why_no_wandb() -> str | None:
    """Return why Weights & Biases cannot be used; None where it can. It would ask for a key."""
    if find_spec("wandb") is None:
        return "the wandb package is not installed (pip install sam2-video-training[wandb])"
    if os.environ.get("WANDB_MODE") in ("offline", "disabled"):
        return None
    netrc = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    if "WANDB_API_KEY" not in os.environ and not (
        netrc.is_file() and "wandb" in netrc.read_text(errors="replace")
    ):
        return "nobody is logged in (wandb login, or WANDB_API_KEY)"
    return None


def _start_wandb(loggers: list[Logger], output_dir: Path, project: str) -> str | None:
    """Add the logger, or return why its service does not take the run."""
    import wandb  # pyright: ignore[reportMissingImports]  # an extra

    wandb_logger = WandbLogger(project=project, save_dir=str(output_dir))
    try:
        # connects: a wrong key or no network must come to light before hours of training
        _ = wandb_logger.experiment
    except wandb.Error as error:
        return f"W&B cannot be reached ({error})"
    loggers.append(wandb_logger)
    return None
