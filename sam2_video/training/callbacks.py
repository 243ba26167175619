"""What happens around the training steps: best weights, failed batches, speed, limits."""

import math
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from loguru import logger

from sam2_video.data.loader import ClipLoader
from sam2_video.model.writing import write_meta, write_meta_yaml
from sam2_video.structures import ClipBatch
from sam2_video.training.failure import save_batch
from sam2_video.training.non_finite import NonFiniteLossError
from sam2_video.training.trainer import MemoryTuner

MOST_WAITING = 0.2
"""The share of its time that a run may wait for data without a warning."""


class BestWeights(Callback):
    """Keeps the weights of the best validation as `best_model.pth`, in Meta's form, with its YAML.

    The best has the highest J&F, of the raw or of the averaged weights where these are scored too.
    The validation before training counts, as step 0. Without any validation the last weights are
    the best that there are.

    Args:
        path: of the file.
        is_file_later: the file is of a later step than the checkpoint that a run is resumed from;
            the best until the checkpoint has been overwritten, and is searched for anew.
    """

    def __init__(self, path: Path, *, is_file_later: bool = False) -> None:
        self.path = path
        self.is_file_later = is_file_later
        self.best: float | None = None
        self.best_step: int | None = None
        self.is_averaged = False

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know."""
        return {
            "best": self.best,
            "best_step": self.best_step,
            "is_averaged": self.is_averaged,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the best of the run that is continued."""
        if not self.is_file_later:
            self.best, self.best_step = state_dict["best"], state_dict["best_step"]
            self.is_averaged = state_dict["is_averaged"]

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the weights when they are the best so far."""
        assert isinstance(pl_module, MemoryTuner)
        value, is_averaged = pl_module.best_of_validation
        if math.isfinite(value) and (self.best is None or value > self.best):
            self.best, self.best_step = value, trainer.global_step
            self.is_averaged = is_averaged
            if pl_module.average is None or not is_averaged:
                self.write(trainer, pl_module)
                return
            with pl_module.average.applied(pl_module.model.network):
                self.write(trainer, pl_module)

    def write(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the present weights."""
        assert isinstance(pl_module, MemoryTuner)
        if trainer.is_global_zero:
            model = pl_module.model
            write_meta(model.network, self.path)
            height, width = model.image_size
            # Meta's code takes square frames only
            if height == width:
                write_meta_yaml(model.architecture, height, self.path.with_suffix(".yaml"))


class Averaging(Callback):
    """Takes the weights of every step into their average; before what saves or validates them."""

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401
        batch: ClipBatch,
        batch_idx: int,
    ) -> None:
        """Average, at the end of an accumulation."""
        assert isinstance(pl_module, MemoryTuner)
        if pl_module.average is not None and ends_step(trainer, batch_idx):
            pl_module.average.update(pl_module.model.network)


class NonFiniteGuard(Callback):
    """Keeps the batch whose loss was not finite, so that it can be replayed."""

    def __init__(self, output_dir: Path) -> None:
        self.output_dir = output_dir
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
        if not isinstance(exception, NonFiniteLossError):
            return
        batch = exception.batch or self._batch
        if batch is None:
            return
        if exception.is_here:
            path = self.output_dir / f"failed_batch_rank{trainer.global_rank}.pt"
            save_batch(path, batch, pl_module.state_dict())
            logger.error(
                f"the batch and the weights are in {path}; sam2_video.training.failure.load_batch "
                "reads them"
            )


class StepLog(Callback):
    """Logs each optimisation step, once, whole, with its rate, its speed and the memory.

    Not by Lightning's way, which logs after the callbacks: a run that is stopped by one of them
    would lose its last step. The row of a step is that of the weights before it.
    """

    def __init__(self) -> None:
        self.num_clips = 0
        self.seconds = 0.0
        self.waited = 0.0
        self.loader_clips_per_second: float | None = None
        self._start = 0.0
        self._asked = 0.0
        self._num_clips_of_step = 0
        self._rates: dict[str, float] = {}
        self._has_warned = False

    @property
    def clips_per_second(self) -> float | None:
        """Return the mean over all steps, without validation; None before the first."""
        return self.num_clips / self.seconds if self.seconds else None

    def state_dict(self) -> dict[str, Any]:
        """Return the sums of the run so far."""
        return {"num_clips": self.num_clips, "seconds": self.seconds, "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on adding."""
        self.num_clips, self.seconds = state_dict["num_clips"], state_dict["seconds"]
        # older checkpoints do not tell
        self.waited = state_dict.get("waited", 0.0)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of a run that goes on in the middle of an epoch."""
        self._start = self._asked = time.perf_counter()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock, which waits for data too."""
        self._start = self._asked = time.perf_counter()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: ClipBatch, batch_idx: int
    ) -> None:
        """Keep the rates of the step: the schedule moves on before the step's end is told.

        Since the batch before, the step has waited for data.
        """
        assert isinstance(pl_module, MemoryTuner)
        self.waited += time.perf_counter() - self._asked
        self._rates = pl_module.rates_now()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401
        batch: ClipBatch,
        batch_idx: int,
    ) -> None:
        """Log, at the end of an accumulation."""
        self._num_clips_of_step += batch.num_clips * trainer.world_size
        self._asked = time.perf_counter()
        if not ends_step(trainer, batch_idx):
            return
        assert isinstance(pl_module, MemoryTuner)
        metrics = pl_module.step_metrics()
        now = time.perf_counter()
        seconds, self._start = now - self._start, now
        self.num_clips += self._num_clips_of_step
        self.seconds += seconds
        metrics["clips/s"] = self._num_clips_of_step / seconds
        metrics["memory_gb"] = peak_memory_gb()
        self._num_clips_of_step = 0
        for name in ("train/loss", "train/J", "clips/s", "memory_gb"):
            pl_module.log(name, metrics[name], prog_bar=True, logger=False, batch_size=1)
        metrics |= self._rates | {"epoch": float(trainer.current_epoch)}
        for log in trainer.loggers:
            log.log_metrics(metrics, step=trainer.global_step - 1)
        self._asked = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ask the loader how fast it is by itself, and say where it is too slow."""
        self.loader_clips_per_second = loader_speed(trainer) or self.loader_clips_per_second
        if self.waiting_share > MOST_WAITING and trainer.is_global_zero and not self._has_warned:
            self._has_warned = True
            logger.warning(
                f"training waits for data {100 * self.waiting_share:.0f} % of its time: it takes "
                f"{self.clips_per_second or 0:.2f} clips/s, and the loading processes read "
                f"{self.loader_clips_per_second or 0:.2f}; raise dataset.num_workers where cores "
                "are free, or store smaller frames"
            )

    @property
    def waiting_share(self) -> float:
        """Return the share of the time of all steps in which they waited for data."""
        return self.waited / self.seconds if self.seconds else 0.0


def loader_speed(trainer: Trainer) -> float | None:
    """Return the clips that all loading processes of a run read in a second, kept busy."""
    loader = trainer.train_dataloader
    if not isinstance(loader, ClipLoader) or loader.clips_per_second is None:
        return None
    return loader.clips_per_second * trainer.world_size


def ends_step(trainer: Trainer, batch_idx: int) -> bool:
    """Say whether the weights have just been changed: an epoch's last batch ends a step too."""
    return (batch_idx + 1) % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch


def peak_memory_gb() -> float:
    """Return the peak memory in GB: of the GPU, or of this process where there is none."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    status = Path("/proc/self/status")
    if not status.is_file():
        return 0.0
    peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024 / 1e9


class StopAtLimit(Callback):
    """Ends training, as if done, after a number of steps or minutes of this process.

    Lightning's own `max_steps` is not used: with it, a run that is resumed at the end of an epoch
    takes that epoch for unfinished.
    """

    def __init__(self, max_steps: int, max_minutes: float | None) -> None:
        self.max_steps = max_steps
        self.max_minutes = max_minutes
        self._start = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; a run that was at its limit when it was killed only ends."""
        self._start = time.monotonic()
        if 0 < self.max_steps <= trainer.global_step:
            trainer.should_stop = True

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401
        batch: ClipBatch,
        batch_idx: int,
    ) -> None:
        """Ask for the end once a limit is reached, at the end of an accumulation."""
        if not ends_step(trainer, batch_idx):
            return
        is_reached = 0 < self.max_steps <= trainer.global_step
        if self.max_minutes is not None:
            is_late = time.monotonic() - self._start >= 60 * self.max_minutes
            # clocks differ, and processes must stop at the same step
            is_reached |= trainer.strategy.reduce_boolean_decision(is_late, all=False)
        if is_reached:
            trainer.should_stop = True
