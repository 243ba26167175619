"""Counts and names the training clips that could not be read, and stops when they are many."""

from collections import Counter
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from loguru import logger

from sam2_video.data.bad_samples import BadSampleError
from sam2_video.structures import ClipBatch
from sam2_video.training.score_files import gather


class TooManyBadSamplesError(BadSampleError):
    """More faults in the data than may be skipped; all processes raise it."""


class SkippedClips(Callback):
    """Counts the clips of all processes that others stand in for, by what is wrong with them.

    Args:
        most: different faults that a run goes on with; None = a run that skips nothing.
    """

    def __init__(self, most: int | None) -> None:
        self.most = most
        self.counts: Counter[str] = Counter()

    def state_dict(self) -> dict[str, Any]:
        """Return the counts of the run so far."""
        return {"counts": dict(self.counts)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.counts = Counter(state_dict["counts"])

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: ClipBatch, batch_idx: int
    ) -> None:
        """Count, and name what is new.

        Raises:
            TooManyBadSamplesError: it is one fault too many.
        """
        if self.most is None:
            return
        own = [reason for source in batch.sources for reason in source.skipped]
        for reason in (reason for reasons in gather(own) for reason in reasons):
            self.counts[reason] += 1
            if self.counts[reason] == 1:
                logger.warning(
                    f"dataset.on_bad_sample: a clip is skipped, another stands in for it: {reason}"
                )
        if len(self.counts) > self.most:
            raise TooManyBadSamplesError(
                f"{len(self.counts)} different faults in the training data, more than "
                f"dataset.max_bad_samples: {self.most}; the last: {next(reversed(self.counts))}. "
                "Mend the data and go on with --resume"
            )

    def summary(self) -> dict[str, Any]:
        """Return what stands in `training_metrics.json`."""
        return {"skipped_clips": self.counts.total(), "skipped_because": dict(self.counts)}
