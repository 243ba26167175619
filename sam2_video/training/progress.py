"""How a run shows that it is alive: a line an epoch in the log, a bar on a terminal."""

import math
import time
from datetime import timedelta
from statistics import fmean

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.callbacks.progress.rich_progress import ProcessingSpeedColumn
from loguru import logger
from rich.progress import ProgressColumn

from sam2_video.training.callbacks import BestWeights, loader_speed
from sam2_video.training.metrics_log import MetricsCsv
from sam2_video.training.trainer import MemoryTuner

SHOWN = {
    "loss": "train/loss",
    "J": "train/J",
    "val J&F": "val/JF",
    "clips/s": "clips/s",
    "GB": "memory_gb",
}
"""Beside the bar: what is logged under which name."""


class TimeLeft(Callback):
    """Estimates how long the rest of the training takes, validations included."""

    def __init__(self, max_steps: int, max_minutes: float | None) -> None:
        self.max_steps = max_steps
        self.max_minutes = max_minutes
        self._start = 0.0
        self._first_batch = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start = time.monotonic()
        self._first_batch = trainer.fit_loop.total_batch_idx + 1

    def estimate(self, trainer: Trainer) -> str:
        """Return hours:minutes:seconds; a question mark before the first batch."""
        num_done = trainer.fit_loop.total_batch_idx + 1
        if num_done <= self._first_batch:
            return "?"
        total = trainer.num_training_batches * (trainer.max_epochs or 0)
        if self.max_steps > 0:
            total = min(total, self.max_steps * trainer.accumulate_grad_batches)
        elapsed = time.monotonic() - self._start
        left = max(total - num_done, 0) * elapsed / (num_done - self._first_batch)
        if self.max_minutes is not None:
            left = min(left, max(60 * self.max_minutes - elapsed, 0))
        return str(timedelta(seconds=round(left)))


class EpochLines(Callback):
    """Logs one short line an epoch, so that a log file shows that the run lives."""

    def __init__(self, table: MetricsCsv, best: BestWeights, time_left: TimeLeft) -> None:
        self.table = table
        self.best = best
        self.time_left = time_left

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the epoch's means, the validation that followed, and the time left."""
        assert isinstance(pl_module, MemoryTuner)
        if not trainer.is_global_zero:
            return
        rows = [row for row in self.table.rows if row["epoch"] == trainer.current_epoch]
        parts = [
            f"{label} {fmean(values):.3f}"
            for label, name in (("loss", "train/loss"), ("J", "train/J"))
            if (values := [row[name] for row in rows if name in row])
        ]
        if pl_module.validated_step == trainer.global_step and self.best.best is not None:
            value = pl_module.validation["val/JF"]
            averaged = pl_module.validation.get("val_ema/JF")
            if math.isfinite(value):
                beside = "" if averaged is None else f", {averaged:.3f} averaged"
                parts.append(f"val J&F {value:.3f}{beside} (best {self.best.best:.3f})")
        if speeds := [row["clips/s"] for row in rows if "clips/s" in row]:
            loader = loader_speed(trainer)
            beside = "" if loader is None else f" (the loader alone: {loader:.2f})"
            parts.append(f"{fmean(speeds):.2f} clips/s{beside}")
        parts.append(f"{self.time_left.estimate(trainer)} left")
        logger.info(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: {', '.join(parts)}")


class RunBar(RichProgressBar):
    """Lightning's bar of an epoch, with the time that the whole run still takes."""

    def __init__(self, time_left: TimeLeft) -> None:
        super().__init__()
        self._time_left = time_left

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Return what stands beside the bar, briefly: a terminal is 80 characters wide."""
        metrics = super().get_metrics(trainer, pl_module)
        shown = {label: metrics[name] for label, name in SHOWN.items() if name in metrics}
        return {**shown, "left": self._time_left.estimate(trainer)}

    def configure_columns(self, trainer: Trainer) -> list[ProgressColumn]:
        """Return the columns of the bar; clips/s stands there already."""
        columns = super().configure_columns(trainer)
        return [column for column in columns if not isinstance(column, ProcessingSpeedColumn)]
