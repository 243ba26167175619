"""`dataset.batch_size: auto`: try steps on the GPU, and take the largest batch that it can hold."""

import copy
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from loguru import logger
from torch import distributed as dist

from sam2_video.config import TrainConfig
from sam2_video.configuration import save
from sam2_video.data.datamodule import ClipDataModule
from sam2_video.model.sam2 import SAM2Model
from sam2_video.structures import ClipBatch, ClipSource
from sam2_video.training.folder import CONFIG
from sam2_video.training.objective import draw_lesson
from sam2_video.training.optimiser import build_optimiser
from sam2_video.training.out_of_memory import free_memory, is_out_of_memory
from sam2_video.training.prepare import make_tuner
from sam2_video.training.trainer import MemoryTuner
from sam2_video.training.values import has_several_processes

USED_SHARE = 0.9
"""Of the free memory that a tried step may use: real clips and fragments differ from the tried."""
NUM_STEPS = 2
"""Of a try: the second has the optimiser's state from its beginning."""
NUM_SEEDS = 16
DTYPES = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}


def choose_batch_size(
    config: TrainConfig,
    model: SAM2Model,
    datamodule: ClipDataModule,
    accelerator: str,
    precision: str,
    num_processes: int,
) -> TrainConfig:
    """Return the configuration, and leave the data module, with a number for `auto`.

    The model and all random states are as before. Without a GPU it is 1: a CPU's memory does not
    end where it is full, it gets slow.
    """
    if config.dataset.batch_size != "auto":
        return config
    # so that its loader can be asked for the number of clips
    _set_batch_size(datamodule, 1)
    device = find_device(accelerator)
    if device is None:
        logger.info(f"dataset.batch_size: auto needs a CUDA GPU to try on, not {accelerator}: 1")
        return replace(config, dataset=datamodule.config)
    most_objects = max(one.settings.max_objects for one in datamodule.sets)
    most_clips = -(-len(datamodule.train_dataloader()) // num_processes)
    size = max((video.size for video in datamodule.train_videos), key=math.prod)
    with torch.random.fork_rng([device] if device.type == "cuda" else []), _reserve(device):
        clip = make_largest_clip(config.dataset.video_clip_length, most_objects, size)
        trial = _Trial(config, model, device, precision, clip, is_joined=num_processes > 1)
        found = largest_that_fits(trial.run, most_clips)
        del trial
    free_memory()
    if found == 0:
        logger.warning("dataset.batch_size: auto: not even one clip of the largest size fits: 1")
    else:
        logger.info(
            f"dataset.batch_size: auto: {found} clips of {config.dataset.video_clip_length} frames "
            f"and {most_objects} objects fit, of {most_clips}"
        )
    _set_batch_size(datamodule, max(found, 1))
    return replace(config, dataset=datamodule.config)


def find_device(accelerator: str) -> torch.device | None:
    """Return the device that this process will train on, where memory can be tried out."""
    if accelerator != "gpu":
        return None
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def largest_that_fits(attempt: Callable[[int], None], most: int) -> int:
    """Return the largest number up to `most` with which `attempt` does not run out of memory.

    Doubles until it fails, then bisects; 0 where 1 fails.
    """
    fits, fails, number = 0, most + 1, 1
    while fails - fits > 1:
        if _is_enough(attempt, number):
            fits = number
        else:
            fails = number
        is_bounded = fails <= most or 2 * fits > most
        number = (fits + fails) // 2 if is_bounded else 2 * fits
    return fits


def _is_enough(attempt: Callable[[int], None], number: int) -> bool:
    try:
        attempt(number)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    else:
        return True
    free_memory()
    return False


class _Trial:
    """Optimisation steps of a copy of the model on made-up clips, the largest that can come."""

    def __init__(
        self,
        config: TrainConfig,
        model: SAM2Model,
        device: torch.device,
        precision: str,
        clip: ClipBatch,
        *,
        is_joined: bool,
    ) -> None:
        self.tuner = make_tuner(config, copy.deepcopy(model).to(device))
        learning = [p for p in self.tuner.parameters() if p.requires_grad]
        # the buckets in which processes join their gradients, and the averaged weights
        num_copies = is_joined + (config.trainer.ema_decay is not None)
        self.copies = [torch.empty_like(p) for p in learning for _ in range(num_copies)]
        named = self.tuner.model.network.named_parameters()
        self.optimiser, _ = build_optimiser(named, config.trainer, num_steps=NUM_STEPS)
        self.dtype = DTYPES.get(precision)
        self.clip = clip
        self.seed = heaviest_seed(self.tuner, config)

    def run(self, num_clips: int) -> None:
        """Take steps with a batch of so many clips."""
        device = self.tuner.device
        batch = repeat_clip(self.clip, num_clips, self.seed).to(device)
        for _ in range(NUM_STEPS):
            with torch.autocast(device.type, self.dtype, enabled=self.dtype is not None):
                loss = self.tuner.compute_loss(batch).loss.total
            if loss.requires_grad:
                loss.backward()
            self.optimiser.step()
            self.optimiser.zero_grad()


def make_largest_clip(length: int, num_objects: int, size: tuple[int, int]) -> ClipBatch:
    """Return one clip, all of whose objects are visible, and labelled, on all of its frames."""
    height, width = size
    masks = torch.zeros(num_objects, length, height, width, dtype=torch.uint8)
    masks[:, :, height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = 1
    return ClipBatch(
        frames=(torch.zeros(length, 3, height, width, dtype=torch.uint8),),
        masks=(masks,),
        labelled=torch.ones(num_objects, length, dtype=torch.bool),
        object_clip=torch.zeros(num_objects, dtype=torch.long),
        prompt_frames=(0,) * num_objects,
        sources=(ClipSource("made up", ("",) * length, tuple(range(1, num_objects + 1)), 0),),
    )


def repeat_clip(clip: ClipBatch, count: int, seed: int) -> ClipBatch:
    """Return a batch of so many times the same clip, all with the same seed."""
    num_objects = len(clip.prompt_frames)
    return ClipBatch(
        frames=clip.frames * count,
        masks=clip.masks * count,
        labelled=clip.labelled.repeat(count, 1),
        object_clip=torch.arange(count).repeat_interleave(num_objects),
        prompt_frames=clip.prompt_frames * count,
        sources=(replace(clip.sources[0], seed=seed),) * count,
    )


def heaviest_seed(tuner: MemoryTuner, config: TrainConfig) -> int:
    """Return the seed of a clip that is shown and corrected most often: each click is a decoding.

    Some are tried, on a clip of one small object.
    """
    clip = make_largest_clip(config.dataset.video_clip_length, 1, (32, 32))

    def count_decodings(seed: int) -> int:
        lesson = draw_lesson(repeat_clip(clip, 1, seed), (32, 32), tuner.prompts)
        clicks = sum(part.places.shape[1] for part in lesson.corrections)
        return clicks + sum(prompt.masks is None for prompt in lesson.prompts)

    return max(range(NUM_SEEDS), key=count_decodings)


@contextmanager
def _reserve(device: torch.device) -> Iterator[None]:
    """Keep a share of what is free from being used, so that training has it to spare."""
    if device.type != "cuda":
        yield
        return
    free, total = torch.cuda.mem_get_info(device)
    used = torch.cuda.memory_reserved(device)
    torch.cuda.set_per_process_memory_fraction((used + USED_SHARE * free) / total, device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
        torch.cuda.reset_peak_memory_stats(device)


def _set_batch_size(datamodule: ClipDataModule, batch_size: int) -> None:
    datamodule.config = replace(datamodule.config, batch_size=batch_size)


class SameBatchSize(Callback):
    """Lets all processes take the smallest batch that any of them has found."""

    def __init__(self, config: TrainConfig, datamodule: ClipDataModule) -> None:
        self.config = config
        self.datamodule = datamodule

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Agree, before any batch is loaded, and correct `config.yaml`."""
        own = self.datamodule.config.batch_size
        if not has_several_processes():
            return
        assert own != "auto", "chosen before training starts"
        agreed = torch.tensor(own, device=trainer.strategy.root_device)
        dist.all_reduce(agreed, dist.ReduceOp.MIN)
        if agreed.item() == own:
            return
        logger.info(f"dataset.batch_size: another process holds {agreed.item()} clips only")
        _set_batch_size(self.datamodule, int(agreed.item()))
        if trainer.is_global_zero:
            config = replace(self.config, dataset=self.datamodule.config)
            save(config, Path(config.output_dir) / CONFIG)
