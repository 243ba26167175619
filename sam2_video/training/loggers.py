"""Where the metrics of a run go: `metrics.csv` and TensorBoard always, W&B when it can be had."""

from pathlib import Path

from lightning.pytorch.loggers import Logger, TensorBoardLogger
from loguru import logger

from sam2_video.training.folder import TENSORBOARD
from sam2_video.training.metrics_log import MetricsCsv
from sam2_video.training.wandb_log import start_wandb, why_no_wandb


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
        is_resumed = first_step is not None
        found = why_no_wandb() or start_wandb(output_dir, wandb_project, is_resumed=is_resumed)
        if isinstance(found, Logger):
            loggers.append(found)
        else:
            logger.warning(f"use_wandb: {found}; logging to TensorBoard and metrics.csv")
    return loggers
