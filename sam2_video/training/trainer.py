"""The training step: prompts, tracking, losses and optimiser as a LightningModule."""

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule
from loguru import logger
from torch import Tensor
from torch import distributed as dist
from torch.nn.utils import clip_grad_norm_

from sam2_video.config import LossConfig, PromptConfig, TrainerConfig
from sam2_video.data.transforms import prepare_clips
from sam2_video.data.video import Video
from sam2_video.evaluation import VideoScore, evaluate_video
from sam2_video.losses import ClipLoss, clip_loss
from sam2_video.metrics import RegionAndBoundary
from sam2_video.model.facts import FACTS, ModelFacts, dump_facts
from sam2_video.model.sam2 import SAM2Model
from sam2_video.prompts import draw_prompts
from sam2_video.structures import ClipBatch, ClipSource, FrameOutput, ModelClips, PromptKind
from sam2_video.training.optimiser import build_optimiser, follow_settings
from sam2_video.training.values import has_several_processes, step_values, sum_over_processes

VALIDATED = {"val/JF": "jf", "val/J": "j", "val/F": "f"}
"""What validation logs, and which of the scores it is."""
MOST_SKIPPED_STEPS = 32
"""A loss scale that starts at 2^16 has become tiny after so many halvings: no overflow is left."""


class NonFiniteLossError(ValueError):
    """The loss, or its gradient, is not a number: training must not go on.

    With several processes all of them raise it; `is_here` where the numbers of this one are bad.
    """

    def __init__(self, message: str, *, is_here: bool) -> None:
        super().__init__(message)
        self.is_here = is_here


class MemoryTuner(LightningModule):
    """Trains a `SAM2Model` on clips and scores it on whole videos.

    Measures `train/loss`, every loss term, `train/J` (of the predictions, at the decoder's size)
    and `gradient_norm`, over the joined batch of all processes; and `val/JF`, `val/J`, `val/F`,
    what `sam2-video evaluate` says of the validation videos. Accumulated batches are averaged: the
    mean of their means, which is that of one larger batch only where they hold as many valid
    objects. `validation` is the last one's means over all processes, `scores` are those of the
    videos of this process, and `validated_step` is its optimisation step.
    """

    def __init__(
        self,
        model: SAM2Model,
        losses: LossConfig,
        prompts: PromptConfig,
        settings: TrainerConfig,
        truncate_memory_gradient: int | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.losses = losses
        self.prompts = prompts
        self.settings = settings
        self.truncate_memory_gradient = truncate_memory_gradient
        self.validation_metric = RegionAndBoundary()
        self.validation: dict[str, float] = {}
        self.scores: list[VideoScore] = []
        self.keep_frames: dict[str, tuple[int, ...]] = {}
        self.validated_step: int | None = None
        self._loss_names: list[str] = []
        self._sums = torch.zeros(0)
        self._gradient_norm = torch.zeros(())
        self._num_skipped = 0
        self._has_said_unsupervised = False
        self._has_said_unscored = False

    def compute_loss(self, batch: ClipBatch) -> tuple[ClipLoss, list[FrameOutput], ModelClips]:
        """Draw prompts, track, and compute the loss of a batch."""
        # dropout, too, follows from the clips: a resumed run, or a replay, draws the same
        torch.manual_seed(batch.sources[0].seed)
        clips = prepare_clips(batch, self.model.image_size)
        object_clip = [
            index for index, source in enumerate(batch.sources) for _ in source.object_ids
        ]
        prompts = draw_prompts(
            clips.targets, clips.prompt_frames, object_clip, clips.seeds, self.prompts
        )
        outputs = self.model(
            clips.pixels, clips.object_clip, prompts, self.truncate_memory_gradient
        )
        is_joint = has_several_processes()
        loss = clip_loss(
            outputs,
            clips.targets,
            clips.labelled,
            self.losses,
            reduce_count=sum_over_processes if is_joint else None,
            world_size=dist.get_world_size() if is_joint else 1,
        )
        return loss, outputs, clips

    def training_step(self, batch: ClipBatch, batch_idx: int) -> Tensor:
        """Return the loss of a batch.

        Raises:
            NonFiniteLossError: the loss is not finite in some process; names the clips.
        """
        loss, outputs, clips = self.compute_loss(batch)
        values = sum_over_processes(step_values(loss, outputs, clips))
        # a sum over processes is finite in all of them or in none: none is left waiting
        if not torch.isfinite(values[0]):
            raise self._non_finite_loss(loss.total, batch)
        self._loss_names = ["loss", *loss.terms]
        self._sums = values if batch_idx % self.settings.accumulate == 0 else self._sums + values
        if loss.total.requires_grad:
            return loss.total
        if not self._has_said_unsupervised:
            self._has_said_unsupervised = True
            logger.warning(
                f"nothing is learned from a batch without any prediction ({_name(batch.sources)}): "
                "its objects are only seen on the frame on which they are given"
            )
        # a graph all the same: backward is where the processes wait for each other
        learning = next(p for p in self.parameters() if p.requires_grad)
        return loss.total + 0.0 * learning.sum()

    def step_metrics(self) -> dict[str, float]:
        """Return what the last step measured: means over processes and accumulated batches."""
        names = [f"train/{name}" for name in self._loss_names]
        *losses, overlap, count, number = self._sums.tolist()
        metrics = {name: loss / number for name, loss in zip(names, losses, strict=True)}
        metrics["train/J"] = overlap / count if count else math.nan
        metrics["gradient_norm"] = self._gradient_norm.item()
        return metrics

    def _non_finite_loss(self, total: Tensor, batch: ClipBatch) -> NonFiniteLossError:
        """Return the error that names the clips of every process whose loss is not finite."""
        is_here = not bool(torch.isfinite(total))
        messages: list[str | None] = [
            f"the loss is {total.item()} ({_name(batch.sources)})" if is_here else None
        ]
        if has_several_processes():
            own = messages[0]
            messages *= dist.get_world_size()
            dist.all_gather_object(messages, own)
        found = "; ".join(message for message in messages if message is not None)
        return NonFiniteLossError(
            f"step {self.global_step}: {found or 'the sum of the losses overflows'}; the weights "
            "are unchanged. Lower trainer.lr, or try --precision bf16-mixed or 32-true",
            is_here=is_here or not found,
        )

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Bound the norm of the gradient, and keep it for the log.

        Raises:
            NonFiniteLossError: the gradient is not finite, and no loss scale is to blame.
        """
        learning = [p for p in self.parameters() if p.requires_grad]
        norm = clip_grad_norm_(learning, self.settings.gradient_clip or math.inf)
        if torch.isfinite(norm):
            self._num_skipped, self._gradient_norm = 0, norm
            return
        # an overflow of scaled 16-bit gradients: the scaler skips the step and halves the scale
        self._num_skipped += 1
        has_scaler = self.trainer.precision == "16-mixed"
        if not has_scaler or self._num_skipped > MOST_SKIPPED_STEPS:
            raise NonFiniteLossError(
                f"step {self.global_step}: the loss is finite but the norm of its gradient is "
                f"{norm.item()}; the weights are unchanged. Lower trainer.lr, or try --precision "
                "32-true; --debug names the operation",
                is_here=True,
            )

    def on_train_start(self) -> None:
        """Let a resumed run follow its own settings: a checkpoint brings the old rate along."""
        schedule = self.lr_schedulers()
        assert isinstance(schedule, torch.optim.lr_scheduler.LambdaLR)
        follow_settings(schedule, self.settings)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep which step was validated, and what model this is."""
        checkpoint["validated_step"] = self.validated_step
        checkpoint[FACTS] = dump_facts(ModelFacts(self.model.architecture, self.model.image_size))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take over which step was validated."""
        self.validated_step = checkpoint["validated_step"]

    def on_validation_epoch_start(self) -> None:
        """Forget the scores of the last validation, also of one that was broken off."""
        self.scores = []
        self.validation_metric.reset()

    def validation_step(self, video: Video | None, batch_idx: int) -> None:
        """Track and score one whole video; None where other processes have one more."""
        if video is None:
            return
        score = evaluate_video(
            self.model,
            video,
            PromptKind(self.prompts.validation),
            self.prompts.num_points,
            keep_frames=self.keep_frames.get(video.video_id, ()),
            count_first_and_last=self.settings.validation_counts_first_and_last,
        )
        self.scores.append(score)
        for summary in score.summaries:
            self.validation_metric.update(summary)

    def on_validation_epoch_end(self) -> None:
        """Log the means over all objects of all videos of all processes.

        In the row of the number of steps that the weights have taken: 0 is before training.
        """
        values = self.validation_metric.compute()
        self.validation = {name: values[key].item() for name, key in VALIDATED.items()}
        self.validated_step = self.trainer.global_step
        for name, value in self.validation.items():
            self.log(name, value, prog_bar=name == "val/JF", logger=False)
        if not values["num_objects"] and not self._has_said_unscored:
            self._has_said_unscored = True
            logger.warning(
                "no validation video has a frame that counts: the first and the last annotated "
                "frame do not; set trainer.validation_counts_first_and_last: true"
            )
        row = self.validation | {"epoch": float(self.trainer.current_epoch)}
        for log in self.trainer.loggers:
            log.log_metrics(row, step=self.validated_step)

    def configure_optimizers(self) -> Any:  # noqa: ANN401 (Lightning's own union of dictionaries)
        """Return AdamW, without decay of biases and norms, and its schedule."""
        num_steps = int(self.trainer.estimated_stepping_batches)
        if self.settings.max_steps > 0:
            num_steps = min(num_steps, self.settings.max_steps)
        optimiser, schedule = build_optimiser(self.parameters(), self.settings, num_steps)
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def _name(sources: tuple[ClipSource, ...]) -> str:
    return "; ".join(
        f"video {source.video_id}, frames {source.frame_names[0]} .. {source.frame_names[-1]}, "
        f"objects {list(source.object_ids)}"
        for source in sources
    )
