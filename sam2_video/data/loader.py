"""Serve the clips of an epoch in an order that a resumed or distributed run repeats exactly."""

import gc
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import cv2
import numpy as np
from loguru import logger
from torch.utils.data import DataLoader, Sampler

from sam2_video.data.bad_samples import (
    BadSample,
    BadSampleError,
    ReadableClips,
    collate_readable,
)
from sam2_video.data.dataset import ClipDataset
from sam2_video.data.timing import TimedClips
from sam2_video.structures import ClipBatch


class EpochSampler(Sampler[tuple[int, int]]):
    """Yield (epoch, index) of the clips of one process, shuffled by (seed, epoch).

    The keys carry the epoch to the workers, which live through all epochs. Clips are dealt out
    in turn, so that the processes' n-th batches together are one process's n-th larger batch;
    where they do not divide evenly, the first ones come a second time. `first` skips clips of
    the next pass that have been trained on.
    """

    def __init__(self, num_clips: int, seed: int, rank: int = 0, world_size: int = 1) -> None:
        self.num_clips = num_clips
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self.first = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this before each."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of clips of a whole epoch in this process."""
        return math.ceil(self.num_clips / self.world_size)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield the keys from `first` on."""
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.num_clips)
        padded = np.resize(order, len(self) * self.world_size)
        for index in padded[self.rank :: self.world_size][self.first :].tolist():
            yield self.epoch, index


class ClipLoader(DataLoader[ClipBatch]):
    """Load batches of clips from where training stands in the epoch.

    Args:
        dataset: The clips.
        sampler: Their order.
        batch_size: Clips a batch.
        num_workers: Loading processes; 0 = the main process.
        pin_memory: Whether batches are put into page-locked memory.
        batches_done: Returns how many batches of the epoch are trained on: more than 0 only in
            the first pass of a run that was resumed in the middle of an epoch.
        are_bad_skipped: Whether another clip stands in for one that cannot be read.
    """

    def __init__(
        self,
        dataset: ClipDataset,
        sampler: EpochSampler,
        batch_size: int,
        num_workers: int = 0,
        pin_memory: bool = False,
        batches_done: Callable[[], int] = lambda: 0,
        are_bad_skipped: bool = False,
    ) -> None:
        if num_workers > 0:
            # OpenCV's threads do not survive the fork, and a process that ends them there, as
            # `_init_worker` would, waits for ever
            cv2.setNumThreads(1)
        self._timed = TimedClips(ReadableClips(dataset, are_skipped=are_bad_skipped))
        super().__init__(
            self._timed,  # pyright: ignore[reportArgumentType]  # collated: Clip to ClipBatch
            batch_size=batch_size,
            sampler=sampler,
            num_workers=num_workers,
            collate_fn=collate_readable,
            pin_memory=pin_memory,
            persistent_workers=num_workers > 0,
            worker_init_fn=_init_worker,
        )
        self._clips = dataset
        self._has_started = num_workers == 0
        self._epoch_sampler = sampler
        self._batches_done = batches_done

    def __iter__(self) -> Iterator[ClipBatch]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Yield the rest of the epoch.

        A generator, so that nothing is drawn before the first batch is asked for: Lightning asks
        for the iterator before it sets the epoch and the position of a resumed run.

        Raises:
            BadSampleError: a clip cannot be read.
        """
        self._epoch_sampler.first = self._batches_done() * (self.batch_size or 1)
        with nullcontext() if self._has_started else _frozen():
            batches = super().__iter__()  # the processes start here, once
        self._has_started = True
        for batch in batches:
            if isinstance(batch, BadSample):
                raise BadSampleError(batch.message)
            yield batch

    @property
    def clips_per_second(self) -> float | None:
        """Return the clips that all loading processes together read in a second, kept busy.

        None before the first clip.
        """
        speed = self._timed.clips_per_second
        return None if speed is None else speed * max(self.num_workers, 1)

    def state_dict(self) -> dict[str, Any]:
        """Return what the order depends on; the position itself is the training loop's."""
        sampler, clips = self._epoch_sampler, self._clips
        state: dict[str, Any] = {
            "seed": sampler.seed,
            "num_clips": sampler.num_clips,
            "clips_a_step": sampler.world_size * (self.batch_size or 1),
        }
        if len(clips.sets) > 1:
            state["clips_of_sets"] = [one.num_clips for one in clips.sets]
        if any(one.settings.frame_stride_schedule for one in clips.sets):
            state["max_epochs"] = clips.max_epochs
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Warn where a resumed run cannot repeat the order of the run that it continues."""
        now = self.state_dict()
        both = dict.fromkeys([*state, *now])
        changed = {k: (state.get(k), now.get(k)) for k in both if state.get(k) != now.get(k)}
        if changed:
            listed = ", ".join(f"{k} {old} -> {new}" for k, (old, new) in changed.items())
            logger.warning(
                f"the resumed run draws other clips than an unbroken one would: {listed}; "
                "keep seed, data, batch_size, devices, and max_epochs where a "
                "frame_stride_schedule follows it, for an exact resume"
            )


@contextmanager
def _frozen() -> Iterator[None]:
    """Hide what there is from the garbage collectors of processes that are started meanwhile.

    They would write to each object that they look at, and so own a copy of the memory around it.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _init_worker(worker: int) -> None:
    """Keep each loading process to one core: there is one process a core."""
    cv2.setNumThreads(1)
