"""The training step: prompts, tracking, losses and optimiser as a LightningModule."""

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule
from loguru import logger
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from sam2_video.config import AugmentationConfig, LossConfig, PromptConfig, TrainerConfig
from sam2_video.data.video import Video
from sam2_video.evaluation import VideoScore, evaluate_video
from sam2_video.metrics import RegionAndBoundary
from sam2_video.model.adapters import find_alpha
from sam2_video.model.checkpoint import ADAPTER_ALPHA
from sam2_video.model.facts import FACTS, ModelFacts, dump_facts
from sam2_video.model.sam2 import SAM2Model
from sam2_video.structures import ClipBatch, PromptKind
from sam2_video.training.averaging import WeightAverage
from sam2_video.training.non_finite import NonFiniteLossError, name_clips
from sam2_video.training.objective import Learned, draw_lesson, learn_from
from sam2_video.training.optimiser import (
    build_optimiser,
    follow_schedule,
    follow_settings,
    rates_now,
)
from sam2_video.training.readings import Readings
from sam2_video.training.values import step_values, sum_over_processes

VALIDATED = {"val/JF": "jf", "val/J": "j", "val/F": "f"}
"""What validation logs, and which of the scores it is."""
AVERAGED = {"val_ema/JF": "jf", "val_ema/J": "j", "val_ema/F": "f"}
"""The same of the averaged weights, where there are any."""
BETTER = "val_better/JF"
"""The higher J&F of raw and averaged weights: not logged, but what ends a run early."""
MOST_SKIPPED_STEPS = 32
"""A loss scale that starts at 2^16 has become tiny after so many halvings: no overflow is left."""


class MemoryTuner(LightningModule):
    """Trains a `SAM2Model` on clips and scores it on whole videos.

    Measures `train/loss`, every loss term, `train/J` (of the predictions, at the decoder's size)
    and `gradient_norm`, over the joined batch of all processes; and `val/JF`, `val/J`, `val/F`,
    what `sam2-video evaluate` says of the validation videos. Accumulated batches are averaged: the
    mean of their means, which is that of one larger batch only where they hold as many valid
    objects. `validation` is the last one's means over all processes, `scores` are those of the
    videos of this process, and `validated_step` is its optimisation step.

    With `trainer.ema_decay` all of it is measured a second time of the averaged weights, as
    `val_ema/JF`, `val_ema/J`, `val_ema/F` and `averaged_scores`, from the first step on.
    """

    def __init__(
        self,
        model: SAM2Model,
        losses: LossConfig,
        prompts: PromptConfig,
        settings: TrainerConfig,
        truncate_memory_gradient: int | None = None,
        augmentation: AugmentationConfig | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.losses = losses
        self.prompts = prompts
        self.settings = settings
        self.truncate_memory_gradient = truncate_memory_gradient
        self.augmentation = augmentation
        self.validation_metric = RegionAndBoundary()
        self.validation: dict[str, float] = {}
        self.scores: list[VideoScore] = []
        self.average = None if settings.ema_decay is None else WeightAverage(settings.ema_decay)
        self.averaged_metric = RegionAndBoundary()
        self.averaged_scores: list[VideoScore] = []
        self.keep_frames: dict[str, tuple[int, ...]] = {}
        self.validated_step: int | None = None
        self._loss_names: list[str] = []
        self.readings = Readings()
        self._gradient_norm = 0.0
        self._num_skipped = 0
        self._has_said_unsupervised = False
        self._has_said_unscored = False

    def compute_loss(self, batch: ClipBatch) -> Learned:
        """Augment, draw prompts, track, and compute the loss of a batch."""
        # dropout, too, follows from the clips: a resumed run, or a replay, draws the same
        torch.manual_seed(batch.sources[0].seed)
        lesson = draw_lesson(batch, self.model.image_size, self.prompts, self.augmentation)
        return learn_from(
            self.model,
            lesson,
            self.losses,
            self.truncate_memory_gradient,
            self.settings.clips_at_once,
            self.settings.objects_at_once,
            self.settings.activation_checkpointing,
        )

    def training_step(self, batch: ClipBatch, batch_idx: int) -> Tensor:
        """Return the loss of a batch, which `configure_gradient_clipping` will look at.

        Raises:
            NonFiniteLossError: the loss is not finite in some process; here only under --debug,
                whose anomaly detection would end the backward pass without naming the clips.
        """
        learned = self.compute_loss(batch)
        loss = learned.loss
        values = sum_over_processes(step_values(loss, learned.similarity, learned.num_similarities))
        self._loss_names = ["loss", *loss.terms]
        self.readings.add(values, loss.total.detach(), batch, batch_idx % self.settings.accumulate)
        if torch.is_anomaly_enabled():
            self.readings.read(self.global_step)
        if loss.total.requires_grad:
            return loss.total
        if not self._has_said_unsupervised:
            self._has_said_unsupervised = True
            logger.warning(
                "nothing is learned from a batch without any prediction "
                f"({name_clips(batch.sources)}): its objects are only seen on the frame on which "
                "they are given"
            )
        # a graph all the same: backward is where the processes wait for each other
        learning = next(p for p in self.parameters() if p.requires_grad)
        return loss.total + 0.0 * learning.sum()

    def step_metrics(self) -> dict[str, float]:
        """Return what the last step measured: means over processes and accumulated batches."""
        names = [f"train/{name}" for name in self._loss_names]
        *losses, overlap, count, number = self.readings.read(self.global_step)
        metrics = {name: loss / number for name, loss in zip(names, losses, strict=True)}
        metrics["train/J"] = overlap / count if count else math.nan
        metrics["gradient_norm"] = self._gradient_norm
        return metrics

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Bound the norm of the gradient, and read what the log needs before the weights change.

        The only place of a step where the host waits for the device (the scaler of 16-mixed waits
        once more): forward and backward pass are queued by then, the optimiser is not.

        Raises:
            NonFiniteLossError: the loss of a batch is not finite in some process, whose clips it
                names; or the gradient is not, and no loss scale is to blame.
        """
        learning = [p for p in self.parameters() if p.requires_grad]
        norm = clip_grad_norm_(learning, self.settings.gradient_clip or math.inf)
        self.readings.read(self.global_step, norm)
        found = self.readings.gradient_norm
        if math.isfinite(found):
            self._num_skipped, self._gradient_norm = 0, found
            return
        # an overflow of scaled 16-bit gradients: the scaler skips the step and halves the scale
        self._num_skipped += 1
        has_scaler = self.trainer.precision == "16-mixed"
        if not has_scaler or self._num_skipped > MOST_SKIPPED_STEPS:
            raise NonFiniteLossError(
                f"step {self.global_step}: the loss is finite but the norm of its gradient is "
                f"{found}; the weights are unchanged. Lower trainer.lr, or try --precision "
                "32-true; --debug names the operation",
                is_here=True,
            )

    def on_train_start(self) -> None:
        """Let a resumed run follow its own settings: a checkpoint brings the old rates along."""
        follow_schedule(self._schedule)
        if self.average is not None:
            self.average.start(self.model.network)

    @property
    def _schedule(self) -> torch.optim.lr_scheduler.LambdaLR:
        schedule = self.lr_schedulers()
        assert isinstance(schedule, torch.optim.lr_scheduler.LambdaLR)
        return schedule

    def rates_now(self) -> dict[str, float]:
        """Return the learning rate of the coming step, and those that names have of their own."""
        return rates_now(self._schedule, self.settings)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep which step was validated, what model this is, and the averaged weights."""
        checkpoint["validated_step"] = self.validated_step
        checkpoint[FACTS] = dump_facts(ModelFacts(self.model.architecture, self.model.image_size))
        alpha = find_alpha(self.model.network)
        if alpha is not None:
            checkpoint[ADAPTER_ALPHA] = alpha
        if self.average is not None:
            checkpoint["average"] = self.average.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take over which step was validated, the average, and the optimiser's state regrouped."""
        self.validated_step = checkpoint["validated_step"]
        # averaging that is new in a resumed run begins there
        if self.average is not None and "average" in checkpoint:
            self.average.load_state_dict(checkpoint["average"])
        named = self.model.network.named_parameters()
        states = checkpoint["optimizer_states"]
        checkpoint["optimizer_states"] = [follow_settings(states[0], named, self.settings)]

    def on_validation_epoch_start(self) -> None:
        """Forget the scores of the last validation, also of one that was broken off."""
        self.scores, self.averaged_scores = [], []
        self.validation_metric.reset()
        self.averaged_metric.reset()

    def validation_step(self, video: Video | None, batch_idx: int) -> None:
        """Track and score one whole video; None where other processes have one more."""
        if video is None:
            return
        self._score(video, self.scores, self.validation_metric)
        if self.average is not None and self.average.is_apart:
            with self.average.applied(self.model.network):
                self._score(video, self.averaged_scores, self.averaged_metric)

    def _score(self, video: Video, scores: list[VideoScore], metric: RegionAndBoundary) -> None:
        score = evaluate_video(
            self.model,
            video,
            PromptKind(self.prompts.validation),
            self.prompts.num_points,
            clicks=self.prompts.validation_clicks,
            keep_frames=self.keep_frames.get(video.video_id, ()),
            count_first_and_last=self.settings.validation_counts_first_and_last,
        )
        scores.append(score)
        for summary in score.summaries:
            metric.update(summary)

    def on_validation_epoch_end(self) -> None:
        """Log the means over all objects of all videos of all processes.

        In the row of the number of steps that the weights have taken: 0 is before training.
        """
        values = self.validation_metric.compute()
        self.validation = {name: values[key].item() for name, key in VALIDATED.items()}
        if self.average is not None and self.average.is_apart:
            averaged = self.averaged_metric.compute()
            self.validation |= {name: averaged[key].item() for name, key in AVERAGED.items()}
        self.validated_step = self.trainer.global_step
        for name, value in self.validation.items():
            self.log(name, value, prog_bar=name == "val/JF", logger=False)
        if self.average is not None:
            self.log(BETTER, self.best_of_validation[0], logger=False)
        if not values["num_objects"] and not self._has_said_unscored:
            self._has_said_unscored = True
            logger.warning(
                "no validation video has a frame that counts: the first and the last annotated "
                "frame do not; set trainer.validation_counts_first_and_last: true"
            )
        row = self.validation | {"epoch": float(self.trainer.current_epoch)}
        for log in self.trainer.loggers:
            log.log_metrics(row, step=self.validated_step)

    @property
    def best_of_validation(self) -> tuple[float, bool]:
        """Return the last validation's higher J&F, and whether it is the averaged weights'."""
        raw, averaged = (self.validation.get(name, math.nan) for name in ("val/JF", "val_ema/JF"))
        is_averaged = averaged > raw
        return (averaged if is_averaged else raw), is_averaged

    def configure_optimizers(self) -> Any:  # noqa: ANN401 (Lightning's own union of dictionaries)
        """Return AdamW, without decay of biases and norms, and its schedule."""
        num_steps = int(self.trainer.estimated_stepping_batches)
        if self.settings.max_steps > 0:
            num_steps = min(num_steps, self.settings.max_steps)
        optimiser, schedule = build_optimiser(
            self.model.network.named_parameters(), self.settings, num_steps
        )
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }
