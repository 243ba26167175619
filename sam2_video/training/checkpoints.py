"""The state of a run on disk: written each epoch, and when the user or the system says stop."""

import os
import shutil
import signal
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint
from loguru import logger

from sam2_video.files import whole
from sam2_video.structures import ClipBatch
from sam2_video.training.callbacks import ends_step
from sam2_video.training.folder import LAST
from sam2_video.training.metrics_log import MetricsCsv


class TrainingInterruptedError(Exception):
    """The user, or the system, asked the run to stop; what can be saved is saved."""


class Checkpoints(Checkpoint):
    """Writes `last.ckpt` after each epoch and keeps some of them as `epoch_*.ckpt`.

    Lightning's ModelCheckpoint writes the same state twice, through a temporary file that may lie
    on another disk, and has no `last.ckpt` of an epoch without an `epoch_*.ckpt`.
    """

    def __init__(self, folder: Path, save_every: int, keep: int, table: MetricsCsv) -> None:
        self.folder = folder
        self.save_every = save_every
        self.keep = keep
        self.table = table

    def save_last(self, trainer: Trainer) -> None:
        """Write `last.ckpt`, whole, and the rows of metrics up to it; all processes call this."""
        self.table.save_table()
        path = self.folder / LAST
        with whole(path) if trainer.is_global_zero else nullcontext(path) as part:
            trainer.save_checkpoint(part)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write, and drop the oldest that are too many."""
        self.save_last(trainer)
        number = trainer.current_epoch + 1
        if number % self.save_every or self.keep == 0 or not trainer.is_global_zero:
            return
        # no metric in the name: val/J would make folders
        path = self.folder / f"epoch_{trainer.current_epoch:03d}.ckpt"
        path.unlink(missing_ok=True)
        try:
            os.link(self.folder / LAST, path)
        except OSError:
            # a file system without hard links
            shutil.copy2(self.folder / LAST, path)
        if self.keep > 0:
            newest_first = sorted(
                self.folder.glob("epoch_*.ckpt"), key=lambda p: p.stat().st_mtime_ns, reverse=True
            )
            for old in newest_first[self.keep :]:
                old.unlink()


class StopOnSignal(Callback):
    """Ctrl-C and SIGTERM save the whole state between two steps and end the run.

    In the middle of a validation the rest of it is left to the resumed run, which validates first.
    With several processes the signal may reach only one: they agree at every step.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints
        self._is_asked = False
        self._is_validation_missing = False
        self._previous: dict[int, Callable[..., Any] | int | None] = {}

    def state_dict(self) -> dict[str, Any]:
        """Return whether the state was saved before its validation."""
        return {"is_validation_missing": self._is_validation_missing}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over whether a validation is missing."""
        self._is_validation_missing = state_dict["is_validation_missing"]

    def _listen(self) -> None:
        # not from `setup` to `teardown`: Lightning sets handlers of its own in between
        if self._previous or threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._is_asked:
            raise KeyboardInterrupt
        self._is_asked = True
        logger.warning("stopping after this step; once more stops at once, without saving")

    def _is_agreed(self, trainer: Trainer) -> bool:
        return trainer.strategy.reduce_boolean_decision(self._is_asked, all=False)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen."""
        self._listen()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Validate where the stop has kept the epoch from it: only its end was left to resume."""
        if self._is_validation_missing:
            self._is_validation_missing = False
            trainer.validating = True
            trainer.fit_loop.epoch_loop.val_loop.run()
            trainer.training = True

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop after the last step of an epoch, whose state has just been written."""
        if self._is_agreed(trainer):
            self._stop(trainer)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401
        batch: ClipBatch,
        batch_idx: int,
    ) -> None:
        """Save and stop, at the end of an accumulation: half a step cannot be continued."""
        if trainer.is_last_batch or not ends_step(trainer, batch_idx):
            return
        if not self._is_agreed(trainer):
            return
        self.checkpoints.save_last(trainer)
        self._stop(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen."""
        self._listen()

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,  # noqa: ANN401
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stop between two videos."""
        if not self._is_agreed(trainer):
            return
        if trainer.state.fn == "fit":
            self._is_validation_missing = True
            self.checkpoints.save_last(trainer)
        self._stop(trainer)

    def _stop(self, trainer: Trainer) -> None:
        raise TrainingInterruptedError(f"stopped at step {trainer.global_step}")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the signals back."""
        self._give_back()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the signals back after a validation that is no part of training."""
        if trainer.state.fn != "fit":
            self._give_back()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Give the signals back."""
        self._give_back()

    def _give_back(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()
