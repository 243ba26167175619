"""How much memory a training step needs: it is run on tensors that have shapes but no content.

Nothing is fitted: the operations are those of training, so that the need follows every setting,
and every change of the code. Shapes cost no memory, and a step takes seconds whatever its size.
"""

from dataclasses import dataclass, fields, replace
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from sam2_video.config import DatasetConfig, TrainConfig
from sam2_video.model.architecture import Architecture, build_network
from sam2_video.model.attention import kernels_of
from sam2_video.model.sam2 import SAM2Model
from sam2_video.structures import Corrections, ModelClips, Prompt
from sam2_video.training.footprint import Footprint
from sam2_video.training.largest import heaviest_seed, make_largest_clip, repeat_clip
from sam2_video.training.objective import Lesson, draw_lesson, learn_from

SMALL = 32
"""Side of the clip of which prompts are drawn; what is shown and corrected depends on no size."""
CACHED = {"bf16": torch.bfloat16, "fp32": torch.float32}

Given = TypeVar("Given", Prompt, Corrections)


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes that the tensors of a training step hold when they hold most.

    Attributes:
        weights: of the network, learning or not.
        gradients: of what learns.
        optimiser: AdamW's two averages of what learns.
        copies: averaged weights, and the buckets in which processes join their gradients.
        batch: frames and masks, as they come and as the network sees them.
        kept: intermediate results and features, when the loss is known and backward begins.
        working: what comes on top of all these at the worst moment.
    """

    weights: int
    gradients: int
    optimiser: int
    copies: int
    batch: int
    kept: int
    working: int

    @property
    def total(self) -> int:
        """Return the sum."""
        return sum(getattr(self, field.name) for field in fields(self))

    @property
    def fixed(self) -> int:
        """Return what does not grow with the batch."""
        return self.weights + self.gradients + self.optimiser + self.copies

    def num_clips_in(self, room: int) -> int:
        """Return how many clips fit into so many bytes, if this is the need of one; 0 = none."""
        return max(room - self.fixed, 0) // (self.total - self.fixed)


def predict_need(
    config: TrainConfig,
    architecture: Architecture,
    num_clips: int,
    num_objects: int,
    precision: str,
    *,
    device: str = "cpu",
    is_joined: bool = False,
) -> MemoryNeed:
    """Return what a step of the largest clips needs that can come.

    Args:
        config: of the training.
        architecture: of the network.
        num_clips: of the batch.
        num_objects: of each clip.
        precision: resolved: 32-true, bf16-mixed or 16-mixed.
        device: cpu or cuda, whose kernels keep different things.
        is_joined: several processes train together.
    """
    with kernels_of(device):
        return _predict(
            config, architecture, num_clips, num_objects, precision, is_joined=is_joined
        )


def _predict(
    config: TrainConfig,
    architecture: Architecture,
    num_clips: int,
    num_objects: int,
    precision: str,
    *,
    is_joined: bool,
) -> MemoryNeed:
    without_content = FakeTensorMode(allow_non_fake_inputs=True)
    model = _build(config, architecture, without_content)
    learning = [p for p in model.parameters() if p.requires_grad]
    dtype = None if precision == "32-true" else torch.bfloat16
    with torch.autocast("cpu", dtype, enabled=dtype is not None):
        lesson = _draw(config, model, num_clips, num_objects, without_content)
        clips = lesson.clips
        given = [x for x in (clips.pixels, clips.targets) if x is not None]
        given += [] if clips.levels is None else clips.levels.levels
        weights, learned = _num_bytes(list(model.parameters())), _num_bytes(learning)
        with Footprint([*model.state_dict().values(), *given]) as footprint:
            before = footprint.now
            trainer = config.trainer
            loss = learn_from(
                model,
                lesson,
                config.losses,
                config.model.truncate_memory_gradient,
                trainer.clips_at_once,
                trainer.objects_at_once,
                trainer.activation_checkpointing,
            ).loss.total
            kept = footprint.now - before
            # gradients of the step before are dropped when the loss is known
            peak = footprint.peak + learned
            footprint.peak = footprint.now
    with footprint:
        # a clip on all of whose frames masks are given teaches nothing
        if loss.requires_grad:
            loss.backward()
    peak = max(peak, footprint.peak)
    num_copies = (trainer.ema_decay is not None) + is_joined
    optimiser = 2 * learned
    # AdamW takes roots of one of its averages, when nothing is kept any more
    peak = max(peak, before + 2 * learned)
    return MemoryNeed(
        weights=weights,
        gradients=learned,
        optimiser=optimiser,
        copies=num_copies * learned,
        batch=before - weights + _as_they_come(config.dataset, num_clips, num_objects),
        kept=kept,
        working=max(peak - before - learned - kept, 0),
    )


def _build(
    config: TrainConfig, architecture: Architecture, without_content: FakeTensorMode
) -> SAM2Model:
    height, width = config.dataset.image_size
    lora = config.lora
    with torch.device("meta"):
        network = build_network(
            architecture, (height, width), config.model.memory_attention_dropout
        )
        model = SAM2Model(network, architecture, (height, width))
        if lora.modules:
            model.add_adapters(lora.modules, lora.rank, lora.alpha, lora.dropout)
    # operations on "meta" alone would not be those of a device that computes
    with without_content:
        for module in model.modules():
            for name, weight in module.named_parameters(recurse=False):
                setattr(module, name, nn.Parameter(torch.empty_like(weight, device="cpu")))
            for name, values in module.named_buffers(recurse=False):
                setattr(module, name, torch.empty_like(values, device="cpu"))
    model.set_trainable(config.model.trainable_modules)
    return model.train()


def _draw(
    config: TrainConfig,
    model: SAM2Model,
    num_clips: int,
    num_objects: int,
    without_content: FakeTensorMode,
) -> Lesson:
    """Return a lesson whose prompts are real, and whose frames and masks have no content."""
    length = config.dataset.video_clip_length
    clip = make_largest_clip(length, num_objects, (SMALL, SMALL))
    seed = heaviest_seed(length, config.prompts)
    drawn = draw_lesson(repeat_clip(clip, num_clips, seed), (SMALL, SMALL), config.prompts)
    size = model.image_size
    with without_content:
        pixels = torch.empty(num_clips, length, 3, *size)
        targets = torch.empty(num_clips * num_objects, length, *size, dtype=torch.uint8)
        prompts = tuple(_enlarge(prompt, size) for prompt in drawn.prompts)
        corrections = tuple(_enlarge(part, size) for part in drawn.corrections)
    levels = None
    if config.dataset.feature_cache is not None:
        kind = CACHED[config.dataset.feature_cache_dtype]
        levels = model.encode_fixed(pixels.flatten(0, 1)).change(lambda level: level.to(kind))
    clips: ModelClips = replace(
        drawn.clips, pixels=pixels if levels is None else None, targets=targets, levels=levels
    )
    return Lesson(clips, prompts, corrections)


def _enlarge(given: Given, size: tuple[int, int]) -> Given:
    """Give masks the size of the model's input; points and places stay as they were drawn."""
    masks = {
        name: torch.empty(*value.shape[:-2], *size, dtype=value.dtype)
        for name, value in vars(given).items()
        if isinstance(value, Tensor) and value.shape[-2:] == (SMALL, SMALL)
    }
    return replace(given, **masks)


def _num_bytes(tensors: list[nn.Parameter]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def _as_they_come(settings: DatasetConfig, num_clips: int, num_objects: int) -> int:
    """Return the bytes of frames and masks as the loader gives them, at the model's size."""
    height, width = settings.image_size
    num_channels = num_objects + (3 if settings.feature_cache is None else 0)
    return num_clips * settings.video_clip_length * num_channels * height * width
