"""What happens around the training steps: stopping, checkpoints, throughput, random states."""

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from loguru import logger

from sam2_video.model.checkpoint import write_meta
from sam2_video.structures import ClipBatch
from sam2_video.training.failure import save_batch
from sam2_video.training.trainer import MemoryTuner, NonFiniteLossError

LAST = "last.ckpt"


class TrainingInterruptedError(Exception):
    """The user, or the system, asked the run to stop; its state is saved."""


class BestWeights(Callback):
    """Keeps the weights of the best validation as `best_model.pth`, in Meta's form.

    Without validation the last weights are the best that there are.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.best: float | None = None
        self.best_epoch: int | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know."""
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the best of the run that is continued."""
        self.best, self.best_epoch = state_dict["best"], state_dict["best_epoch"]

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the weights when they are the best so far."""
        value = trainer.callback_metrics.get("val/J")
        if trainer.sanity_checking or value is None or torch.isnan(value):
            return
        if self.best is None or float(value) > self.best:
            self.best, self.best_epoch = float(value), trainer.current_epoch
            self._write(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the last weights where nothing was validated."""
        if self.best is None:
            self._write(trainer, pl_module)

    def _write(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, MemoryTuner)
        if trainer.is_global_zero:
            write_meta(pl_module.model.network, self.path)


class StopOnSignal(Callback):
    """Ctrl-C and SIGTERM save the whole state between two steps and end the run."""

    def __init__(self, checkpoint_dir: Path) -> None:
        self.checkpoint_dir = checkpoint_dir
        self._received: int | None = None
        self._previous: dict[int, Callable[..., Any] | int | None] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None:
            raise KeyboardInterrupt
        self._received = number
        logger.warning("stopping after this step; once more stops at once, without saving")

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401
        batch: ClipBatch,
        batch_idx: int,
    ) -> None:
        """Save and stop, at the end of an accumulation: half a step cannot be continued."""
        is_whole_step = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if self._received is None or not (is_whole_step or trainer.is_last_batch):
            return
        trainer.save_checkpoint(self.checkpoint_dir / LAST)
        raise TrainingInterruptedError(f"stopped at step {trainer.global_step}")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()


class NonFiniteGuard(Callback):
    """Keeps the batch whose loss was not finite, so that it can be replayed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._batch: ClipBatch | None = None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: ClipBatch, batch_idx: int
    ) -> None:
        """Remember the batch."""
        self._batch = batch

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Save the batch and the weights that failed on it."""
        if isinstance(exception, NonFiniteLossError) and self._batch is not None:
            path = self.path.with_stem(f"{self.path.stem}_rank{trainer.global_rank}")
            save_batch(path, self._batch, pl_module.state_dict())
            logger.error(f"the batch and the weights are in {path}; load_batch() reads them")


class Throughput(Callback):
    """Logs clips/s and the peak memory, and adds up what the summary needs."""

    def __init__(self) -> None:
        self.num_clips = 0
        self.seconds = 0.0
        self._start = 0.0

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: ClipBatch, batch_idx: int
    ) -> None:
        """Start the clock of a step."""
        self._start = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401
        batch: ClipBatch,
        batch_idx: int,
    ) -> None:
        """Log the step's speed and the memory."""
        seconds = time.perf_counter() - self._start
        num_clips = batch.num_clips * trainer.world_size
        self.num_clips += num_clips
        self.seconds += seconds
        pl_module.log("clips/s", num_clips / seconds, prog_bar=True, batch_size=1)
        pl_module.log("memory_gb", peak_memory_gb(), prog_bar=True, batch_size=1)


def peak_memory_gb() -> float:
    """Return the peak memory in GB: of the GPU, or of this process where there is none."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    status = Path("/proc/self/status")
    if not status.is_file():
        return 0.0
    peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024 / 1e9


class RandomStates(Callback):
    """Carries every global random state through a resume: dropout draws from them."""

    def state_dict(self) -> dict[str, Any]:
        """Return the states as plain values, which a weights-only reader accepts."""
        name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002
        return {
            "python": random.getstate(),
            "numpy": (name, torch.from_numpy(np.asarray(keys).copy()), position, has_gauss, cached),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Set the states of the run that is continued."""
        version, values, gauss = state_dict["python"]
        random.setstate((version, tuple(values), gauss))
        name, keys, *rest = state_dict["numpy"]
        np.random.set_state((name, keys.numpy(), *rest))  # noqa: NPY002
        torch.set_rng_state(state_dict["torch"].cpu())
        if len(state_dict["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all([state.cpu() for state in state_dict["cuda"]])
