"""Ctrl-C, SIGTERM and what else asks a run to stop: it saves its state between two steps."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from loguru import logger

from sam2_video.structures import ClipBatch
from sam2_video.training.callbacks import ends_step
from sam2_video.training.checkpoints import Checkpoints

SIGNALLED = 128
"""What shells and schedulers add to the number of the signal that ended a program."""


class TrainingInterruptedError(Exception):
    """The user, or the system, asked the run to stop by a signal; what can be saved is saved."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


class StopOnSignal(Callback):
    """Ctrl-C and SIGTERM save the whole state between two steps and end the run.

    In the middle of a validation the rest of it is left to the resumed run, which validates first.
    With several processes the signal may reach only one: they agree at every step.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints
        self._asked_by: int | None = None
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
        if self._asked_by is not None:
            # no KeyboardInterrupt, which Lightning would make a plain failure of
            raise SystemExit(SIGNALLED + number)
        self._asked_by = number
        logger.warning("stopping after this step; once more stops at once, without saving")

    def _is_agreed(self, trainer: Trainer) -> bool:
        return trainer.strategy.reduce_boolean_decision(self._asked_by is not None, all=False)

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
        """Stop between two videos; before the first, save what is old by now."""
        is_stopping, is_training = self._is_agreed(trainer), trainer.state.fn == "fit"
        if is_training and (is_stopping or (batch_idx == 0 and self.checkpoints.is_due(trainer))):
            self._is_validation_missing = True
            self.checkpoints.save_last(trainer)
            self._is_validation_missing = False
        if is_stopping:
            self._stop(trainer)

    def _stop(self, trainer: Trainer) -> None:
        # where the signal has reached another process only, it was the system's
        number = self._asked_by or signal.SIGTERM
        raise TrainingInterruptedError(f"stopped at step {trainer.global_step}", number)

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
