"""The state of a run on disk: written each epoch, now and then within one, and at a limit."""

import copy
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from sam2_video.structures import ClipBatch
from sam2_video.training.callbacks import ends_step
from sam2_video.training.folder import LAST
from sam2_video.training.metrics_log import MetricsCsv
from sam2_video.training.state_file import link


class Checkpoints(Checkpoint):
    """Writes `last.ckpt` after each epoch and keeps some of them as `epoch_*.ckpt`.

    Lightning's ModelCheckpoint writes the same state twice, and has no `last.ckpt` of an epoch
    without an `epoch_*.ckpt`. An epoch that a limit has cut short is kept as far as it went, so
    that a run with a larger limit goes on within it.

    Args:
        folder: of the checkpoints.
        save_every: epochs between `epoch_*.ckpt`.
        keep: how many of them; -1 = all.
        minutes: after which `last.ckpt` is written within an epoch; None = never.
        table: the run's `metrics.csv`.
    """

    def __init__(
        self, folder: Path, save_every: int, keep: int, minutes: float | None, table: MetricsCsv
    ) -> None:
        self.folder = folder
        self.save_every = save_every
        self.keep = keep
        self.minutes = minutes
        self.table = table
        self._saved = time.monotonic()
        self._kept: list[str] = []
        self._cut_loops: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return which `epoch_*.ckpt` this run has written, in order: clocks may jump."""
        return {"kept": list(self._kept)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over which there are."""
        self._kept = list(state_dict["kept"])

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Let an epoch that was cut short stand in the state as far as it went."""
        if self._cut_loops is not None:
            checkpoint["loops"] = checkpoint["loops"] | {"fit_loop": self._cut_loops}

    def save_last(self, trainer: Trainer) -> None:
        """Write `last.ckpt`, whole, and the rows of metrics up to it; all processes call this."""
        self.table.save_table()
        trainer.save_checkpoint(self.folder / LAST)
        self._saved = time.monotonic()

    def is_due(self, trainer: Trainer) -> bool:
        """Say whether the last state is old; all processes call this, and say the same."""
        if self.minutes is None:
            return False
        is_old = time.monotonic() - self._saved >= 60 * self.minutes
        # clocks differ
        return trainer.strategy.reduce_boolean_decision(is_old, all=False)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._saved = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401
        batch: ClipBatch,
        batch_idx: int,
    ) -> None:
        """Write between two steps of an epoch, once the last state is old."""
        if trainer.is_last_batch or not ends_step(trainer, batch_idx):
            return
        if trainer.should_stop:
            self._cut_loops = copy.deepcopy(trainer.fit_loop.state_dict())
        elif self.is_due(trainer):
            self.save_last(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write, and drop the oldest that are too many."""
        number = trainer.current_epoch + 1
        name = f"epoch_{trainer.current_epoch:03d}.ckpt"
        is_kept = number % self.save_every == 0 and self.keep != 0
        if is_kept:
            self._kept = [*(old for old in self._kept if old != name), name]
        self.save_last(trainer)
        if not (is_kept and trainer.is_global_zero):
            return
        # no metric in the name: val/J would make folders
        link(self.folder / LAST, self.folder / name)
        if self.keep > 0:
            # those of which this run does not know come first: it was resumed from before them
            known = {old: place for place, old in enumerate(self._kept)}
            oldest_first = sorted(
                self.folder.glob("epoch_*.ckpt"), key=lambda p: (known.get(p.name, -1), p.name)
            )
            for old in oldest_first[: -self.keep]:
                old.unlink()
