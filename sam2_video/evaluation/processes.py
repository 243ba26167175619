"""Share out videos to processes: local ones on the CPU, or those that torchrun has started."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing import get_context
from typing import Any, TypeVar

import cv2
import torch
from loguru import logger
from torch import distributed as dist

from sam2_video.data.cores import num_cores
from sam2_video.data.video import Video
from sam2_video.evaluation.job import Job, Outcome, evaluate_one
from sam2_video.model.sam2 import SAM2Model

_MOST_DIFFERENCE = timedelta(days=7)
"""How much longer than another a process may take over its videos."""

Content = TypeVar("Content")


class Group:
    """The processes of torchrun that evaluate together; one process alone is a group too."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank = rank
        self.size = size

    def tell(self, content: Content) -> Content:
        """Return what the first process has."""
        contents: list[Any] = [content]
        if self.size > 1:
            dist.broadcast_object_list(contents)
        return contents[0]

    def gather(self, content: Content) -> list[Content]:
        """Return what every process has, in each of them."""
        contents: list[Any] = [content] * self.size
        if self.size > 1:
            dist.all_gather_object(contents, content)
        return contents


@contextmanager
def join_group() -> Iterator[Group]:
    """Yield the group that torchrun's environment names; this process alone without one."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Group(0, 1)
        return
    # scores travel, not tensors: no GPU is needed for it
    dist.init_process_group("gloo", timeout=_MOST_DIFFERENCE)
    try:
        yield Group(dist.get_rank(), size)
    finally:
        dist.destroy_process_group()


def share_out(videos: Sequence[Video], rank: int, size: int) -> list[Video]:
    """Return the videos of one of several processes: each gets about as many frames."""
    shares: list[list[Video]] = [[] for _ in range(size)]
    for video in longest_first(videos):
        min(shares, key=lambda share: sum(v.num_frames for v in share)).append(video)
    return shares[rank]


def longest_first(videos: Sequence[Video]) -> list[Video]:
    """Return videos by falling number of frames, so that no long one is left to the end."""
    return sorted(videos, key=lambda video: -video.num_frames)


def evaluate_here(model: SAM2Model, videos: Sequence[Video], job: Job) -> Iterator[Outcome]:
    """Yield the outcome of each video."""
    for video in videos:
        yield evaluate_one(model, video, job)


def evaluate_in_processes(
    videos: Sequence[Video], job: Job, num_processes: int
) -> Iterator[Outcome]:
    """Yield the outcomes of videos as they are finished in processes on the CPU of this machine.

    Raises:
        ValueError: a process died.
    """
    # a forked process may inherit locks that OpenCV's or torch's threads hold
    pool = ProcessPoolExecutor(
        num_processes, get_context("spawn"), initializer=_start, initargs=(job, num_processes)
    )
    try:
        futures = [pool.submit(_evaluate, video) for video in longest_first(videos)]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise ValueError(
            "a process of the evaluation died (out of memory?); finished videos are kept with "
            "--out: run again, with fewer --processes"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_own: tuple[SAM2Model, Job] | None = None


def _start(job: Job, num_processes: int) -> None:
    """Load the model, once a process."""
    global _own  # noqa: PLW0603 (what a process of the pool keeps between videos)
    logger.disable("sam2_video")
    torch.set_num_threads(max(num_cores() // num_processes, 1))
    cv2.setNumThreads(1)
    _own = job.load("cpu"), job


def _evaluate(video: Video) -> Outcome:
    assert _own is not None
    return evaluate_one(_own[0], video, _own[1])
