"""Memory that runs out in training: noticed, and answered by computing less of a batch at once."""

import gc
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from loguru import logger
from torch import distributed as dist

from sam2_video.config import TrainConfig, TrainerConfig
from sam2_video.structures import ClipBatch
from sam2_video.training.values import has_several_processes

OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""How allocators other than CUDA's say it: CPU (Linux, Windows), MPS, cuBLAS, cuDNN."""

Result = TypeVar("Result")


class OutOfMemoryError(ValueError):
    """Memory ran out, and nothing that keeps the numbers is left to try; names the settings.

    `is_everywhere` where all processes raise it.
    """

    def __init__(self, message: str, *, is_everywhere: bool = False) -> None:
        super().__init__(message)
        self.is_everywhere = is_everywhere


class SharedShortageError(RuntimeError):
    """Memory ran out in one process at least, and all of them raise this."""


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an allocator has failed."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY)


def compute_together(compute: Callable[[], Result], device: torch.device) -> Result:
    """Return what is computed, if memory suffices for it in all processes.

    What is computed must not wait for other processes: they would wait for one that has failed.

    Raises:
        SharedShortageError: in all processes, where memory runs out in any.
    """
    if not has_several_processes():
        return compute()
    result, said = None, ""
    try:
        result = compute()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        said = str(error).partition("\n")[0]
    num_failed = torch.tensor(int(result is None), device=device)
    dist.all_reduce(num_failed)
    if result is None or num_failed:
        raise SharedShortageError(said or "out of memory in another process")
    return result


def free_memory() -> None:
    """Give back what a failed attempt has left behind."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@dataclass(frozen=True)
class Shortage:
    """Where memory ran out in training; `num_objects` is the most of any clip of the batch.

    With several processes `is_shared` where all of them know, and say the same here.
    """

    epoch: int
    is_first_epoch: bool
    batch_size: int
    num_objects: int
    is_shared: bool


class MemoryGuard(Callback):
    """Notices that memory runs out in a training step of the epoch that this process began with."""

    def __init__(self, batch_size: int) -> None:
        self.shortage: Shortage | None = None
        self._batch_size = batch_size
        self._first_epoch = 0
        self._num_objects = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember which epoch is the first."""
        self._first_epoch = trainer.current_epoch

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: ClipBatch, batch_idx: int
    ) -> None:
        """Remember the size of the batch, not the batch itself: it would stay in memory."""
        self._num_objects = max(len(source.object_ids) for source in batch.sources)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Say where it was, if it was memory and in training; validation has its own sizes."""
        if not (is_out_of_memory(exception) and trainer.training and self._num_objects):
            return
        is_shared = isinstance(exception, SharedShortageError)
        # processes take the smallest batch that any was given
        sizes = torch.tensor([self._num_objects, -self._batch_size], device=pl_module.device)
        if is_shared:
            dist.all_reduce(sizes, dist.ReduceOp.MAX)
        num_objects, negative = sizes.tolist()
        self.shortage = Shortage(
            trainer.current_epoch,
            trainer.current_epoch == self._first_epoch,
            -negative,
            num_objects,
            is_shared or trainer.world_size == 1,
        )


def attempt_with_less(
    attempt: Callable[[TrainConfig, MemoryGuard, bool], Result], config: TrainConfig
) -> Result:
    """Train, and start again with less computed at once while memory runs out in the first epoch.

    Args:
        attempt: trains as configured; True where an attempt failed before.
        config: of the run. Only `clips_at_once` and `objects_at_once` of it are changed: the
            numbers stay those of the run that was asked for.

    Raises:
        OutOfMemoryError: nothing is left to be made smaller, or it is too late, or not asked for.
    """
    is_again = False
    batch_size = config.dataset.batch_size
    assert batch_size != "auto", "chosen before training starts"
    while True:
        guard = MemoryGuard(batch_size)
        try:
            return attempt(config, guard, is_again)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            said = str(error).partition("\n")[0]
        # outside of the handler, whose error holds every tensor of the failed step
        config, is_again = _answer(config, guard.shortage, said), True
        free_memory()


def _answer(config: TrainConfig, shortage: Shortage | None, said: str) -> TrainConfig:
    """Return the next configuration to try, and say it."""
    if shortage is None:
        raise OutOfMemoryError(
            f"out of memory outside of the training steps ({said}); lower dataset.image_size, or "
            "give --model-config a smaller network"
        )
    settings, is_shared = config.trainer, shortage.is_shared
    smaller = next_smaller(settings, shortage.batch_size, shortage.num_objects)
    if smaller is None:
        raise OutOfMemoryError(
            f"out of memory with one object of one clip at a time ({said}); lower "
            "dataset.image_size or dataset.video_clip_length, set trainer.activation_checkpointing "
            "to frames or model.truncate_memory_gradient, or let fewer trainable_modules learn",
            is_everywhere=is_shared,
        )
    wanted = _flags(settings, smaller)
    if not shortage.is_first_epoch:
        raise OutOfMemoryError(
            f"out of memory in epoch {shortage.epoch + 1} ({said}); go on from the end of the "
            f"epoch before it with --resume {config.output_dir} {wanted}",
            is_everywhere=is_shared,
        )
    if not (is_shared and settings.adapt_batch_size):
        why = "trainer.adapt_batch_size is off"
        if settings.adapt_batch_size:
            why = "in the backward pass one of several processes cannot tell the others"
        raise OutOfMemoryError(
            f"out of memory ({said}); start again with {wanted}, which learns the same ({why})",
            is_everywhere=is_shared,
        )
    logger.warning(f"out of memory: {_describe(smaller, shortage.batch_size)}; starting again")
    return replace(config, trainer=smaller)


def next_smaller(
    settings: TrainerConfig, batch_size: int, num_objects: int
) -> TrainerConfig | None:
    """Return the settings that compute half as much at once; None where that is one object.

    Clips are halved before the objects of a clip: a part holds no more than `objects_at_once`.

    >>> next_smaller(TrainerConfig(), 8, 3).clips_at_once
    4
    >>> next_smaller(TrainerConfig(), 1, 3).objects_at_once
    2
    """
    objects = min(settings.objects_at_once or num_objects * batch_size, num_objects * batch_size)
    clips = min(settings.clips_at_once or batch_size, batch_size, -(-objects // num_objects))
    if clips > 1:
        return replace(settings, clips_at_once=-(-clips // 2))
    objects = min(objects, num_objects)
    if objects > 1:
        one_clip = settings.clips_at_once if batch_size == 1 else 1
        return replace(settings, clips_at_once=one_clip, objects_at_once=-(-objects // 2))
    return None


def _describe(settings: TrainerConfig, batch_size: int) -> str:
    clips, objects = settings.clips_at_once or 1, settings.objects_at_once
    num_parts = -(-batch_size // clips)
    if objects is None:
        return (
            f"dataset.batch_size {batch_size} is now computed as {num_parts} x {clips} clips "
            f"(trainer.clips_at_once: {clips}), which learns the same as before and as "
            f"batch_size {clips} with {num_parts} times trainer.accumulate would"
        )
    return (
        f"the objects of each clip are now computed {objects} at a time "
        f"(trainer.objects_at_once: {objects}), which learns the same as before"
    )


def _flags(before: TrainerConfig, after: TrainerConfig) -> str:
    """Return the flags that turn one into the other."""
    values: dict[str, Any] = {
        "clips-at-once": (before.clips_at_once, after.clips_at_once),
        "objects-at-once": (before.objects_at_once, after.objects_at_once),
    }
    return " ".join(f"--trainer.{name} {new}" for name, (old, new) in values.items() if old != new)
