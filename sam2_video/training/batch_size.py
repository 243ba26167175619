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
from sam2_video.structures import ClipBatch
from sam2_video.training.folder import CONFIG
from sam2_video.training.largest import heaviest_seed, make_largest_clip, repeat_clip
from sam2_video.training.need import predict_need
from sam2_video.training.optimiser import build_optimiser
from sam2_video.training.out_of_memory import free_memory, is_out_of_memory
from sam2_video.training.prepare import make_tuner
from sam2_video.training.values import has_several_processes

USED_SHARE = 0.9
"""Of the free memory that a tried step may use: real clips and fragments differ from the tried."""
NUM_STEPS = 2
"""Of a try: the second has the optimiser's state from its beginning."""
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
        is_joined = num_processes > 1
        first = 1
        room = _room(device)
        if room is not None and most_clips > 1:
            need = predict_need(
                config,
                model.architecture,
                1,
                most_objects,
                precision,
                device=device.type,
                is_joined=is_joined,
            )
            first = need.num_clips_in(room)
        trial = _Trial(config, model, device, precision, clip, is_joined=is_joined)
        found = largest_that_fits(trial.run, most_clips, first)
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


def largest_that_fits(attempt: Callable[[int], None], most: int, first: int = 1) -> int:
    """Return the largest number up to `most` with which `attempt` does not run out of memory.

    Begins with `first`, which may be wrong; goes on from there by 1, 2, 4, ... until numbers that
    fit and that fail are known, then bisects. 0 where 1 fails.
    """
    fits, fails, number, stride = 0, most + 1, min(max(first, 1), most), 1
    while fails - fits > 1:
        if _is_enough(attempt, number):
            fits = number
        else:
            fails = number
        far = fails - stride if fits == 0 else fits + stride
        is_between = fits < far < fails
        is_bounded = fits > 0 and fails <= most
        number = far if is_between and not is_bounded else (fits + fails) // 2
        stride *= 2
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
        self.seed = heaviest_seed(config.dataset.video_clip_length, config.prompts)

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


def _room(device: torch.device) -> int | None:
    """Return the bytes that a step may use; None where the device does not tell."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return int(USED_SHARE * free)


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
