"""The training step: prompts, tracking, losses and optimiser as a LightningModule."""

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch import distributed as dist
from torch.nn import functional as F

from sam2_video.config import LossConfig, PromptConfig, TrainerConfig
from sam2_video.data.transforms import prepare_clips
from sam2_video.data.video import Video
from sam2_video.evaluation import VideoScore, evaluate_video
from sam2_video.losses import ClipLoss, clip_loss
from sam2_video.metrics import RegionSimilarity
from sam2_video.model.sam2 import SAM2Model
from sam2_video.prompts import draw_prompts
from sam2_video.structures import OBJECT, ClipBatch, FrameOutput, ModelClips, PromptKind


class NonFiniteLossError(ValueError):
    """The loss of a batch is not a number: training must not go on."""


def learning_rate_factor(step: int, num_steps: int, settings: TrainerConfig) -> float:
    """Return the share of the full learning rate at a step: linear warm-up, then the schedule.

    >>> learning_rate_factor(0, 100, TrainerConfig(warmup_fraction=0.1))
    0.1
    """
    num_warmup = math.ceil(settings.warmup_fraction * num_steps)
    if step < num_warmup:
        return (step + 1) / num_warmup
    if settings.lr_scheduler == "constant":
        return 1.0
    progress = min((step - num_warmup) / max(num_steps - num_warmup, 1), 1.0)
    floor = settings.min_lr_fraction
    return floor + (1 - floor) * (1 + math.cos(math.pi * progress)) / 2


class MemoryTuner(LightningModule):
    """Trains a `SAM2Model` on clips and scores it on whole videos.

    Logs `train/loss`, every loss term, `train/J` (of the predictions, at the decoder's size) and
    `val/J` (mean over objects at the videos' own size). `scores` are the last validation's, of
    this process.
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
        self.validation_similarity = RegionSimilarity()
        self.scores: list[VideoScore] = []
        self.keep_frames: dict[str, tuple[int, ...]] = {}

    def compute_loss(self, batch: ClipBatch) -> tuple[ClipLoss, list[FrameOutput], ModelClips]:
        """Draw prompts, track, and compute the loss of a batch."""
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
        is_distributed = dist.is_available() and dist.is_initialized()
        loss = clip_loss(
            outputs,
            clips.targets,
            clips.labelled,
            self.losses,
            reduce_count=_sum_over_ranks if is_distributed else None,
            world_size=dist.get_world_size() if is_distributed else 1,
        )
        return loss, outputs, clips

    def training_step(self, batch: ClipBatch, batch_idx: int) -> Tensor:
        """Return the loss of a batch.

        Raises:
            NonFiniteLossError: the loss is not finite; names the clips.
        """
        loss, outputs, clips = self.compute_loss(batch)
        if not torch.isfinite(loss.total):
            named = "; ".join(
                f"video {source.video_id}, frames {source.frame_names[0]} .. "
                f"{source.frame_names[-1]}, objects {list(source.object_ids)}"
                for source in batch.sources
            )
            raise NonFiniteLossError(f"step {self.global_step}: the loss is {loss.total} ({named})")
        values = {f"train/{name}": value for name, value in loss.terms.items()}
        self.log_dict(values, batch_size=batch.num_clips)
        self.log("train/loss", loss.total.detach(), prog_bar=True, batch_size=batch.num_clips)
        similarity = predicted_similarity(outputs, clips)
        self.log("train/J", similarity, prog_bar=True, batch_size=batch.num_clips)
        return loss.total

    def on_validation_epoch_start(self) -> None:
        """Forget the scores of the last validation."""
        self.scores = []

    def validation_step(self, video: Video, batch_idx: int) -> None:
        """Track and score one whole video."""
        score = evaluate_video(
            self.model,
            video,
            PromptKind(self.prompts.validation),
            self.prompts.num_points,
            keep_frames=self.keep_frames.get(video.video_id, ()),
        )
        self.scores.append(score)
        for by_frame in score.frames.values():
            values = torch.tensor(list(by_frame.values()), device=self.device)
            self.validation_similarity.update(values)

    def on_validation_epoch_end(self) -> None:
        """Log the mean J over all objects of all videos of all processes."""
        self.log("val/J", self.validation_similarity.compute(), prog_bar=True)
        self.validation_similarity.reset()

    def configure_optimizers(self) -> Any:  # noqa: ANN401 (Lightning's own union of dictionaries)
        """Return AdamW, without decay of biases, norms and embeddings, and its schedule."""
        learning = [p for p in self.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in learning if p.ndim > 1]},
            {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=self.settings.lr,
            weight_decay=self.settings.weight_decay,
        )
        num_steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: learning_rate_factor(step, num_steps, self.settings)
        )
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def _sum_over_ranks(counts: Tensor) -> Tensor:
    counts = counts.clone()
    dist.all_reduce(counts)
    return counts


@torch.no_grad()
def predicted_similarity(outputs: list[FrameOutput], clips: ModelClips) -> Tensor:
    """Return the mean J of the predictions on frames that show the object, for the log.

    At the mask decoder's size, ignoring ignore regions: quick, and close to the real one.
    """
    similarities, counts = [], []
    for output in outputs:
        if output.is_given:
            continue
        rows = torch.tensor(output.objects, device=clips.targets.device)
        masks = output.best_mask_logits > 0
        truth = (clips.targets[rows, output.frame] == OBJECT).unsqueeze(1).float()
        truth = F.interpolate(truth, masks.shape[-2:], mode="nearest").squeeze(1) > 0
        overlap = (masks & truth).sum((1, 2))
        union = (masks | truth).sum((1, 2)).clamp(min=1)
        counted = clips.labelled[rows, output.frame] & truth.flatten(1).any(1)
        similarities.append((overlap / union * counted).sum())
        counts.append(counted.sum())
    if not counts:
        return torch.zeros((), device=clips.targets.device)
    return torch.stack(similarities).sum() / torch.stack(counts).sum().clamp(min=1)
