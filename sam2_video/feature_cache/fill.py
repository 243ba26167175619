"""Encode what a feature cache lacks: on all devices, beside other processes, after a stop too."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import torch
from jaxtyping import Float
from loguru import logger
from torch import Tensor

from sam2_video.feature_cache.claims import Claims
from sam2_video.feature_cache.progress import FrameCount, as_bytes, as_time
from sam2_video.feature_cache.rows import (
    EncodedRows,
    RowLayout,
    find_fault,
    is_missing,
    write_rows,
)
from sam2_video.structures import FrameLevels

CHUNK = 8
"""Frames that are encoded together."""
READERS = 3
"""Videos a GPU has in work: while one is encoded, frames of others are decoded, and written."""


@dataclass(frozen=True)
class Wanted:
    """The frames of one video, in one geometry, that a cache should hold.

    `read` returns what the network is shown of some frames, on a device.
    """

    file_name: str
    video_id: str
    num_frames: int
    read: Callable[[range, torch.device], Float[Tensor, "images 3 height width"]]


@dataclass(frozen=True)
class Encoder:
    """A network on a device."""

    device: torch.device
    encode: Callable[[Float[Tensor, "images 3 height width"]], FrameLevels]


@dataclass(frozen=True)
class Filled:
    """What filling came to; `num_bytes` are those of all that is wanted."""

    rows: tuple[EncodedRows, ...]
    num_bytes: int
    num_encoded: int
    seconds: float


def fill(
    folder: Path,
    wanted: Sequence[Wanted],
    layout: RowLayout,
    encoders: Sequence[Encoder],
    *,
    are_rows_checked: bool = True,
) -> Filled:
    """Encode all that is wanted and not there, or damaged, and say how much that is.

    Other processes may do the same at the same time: each video is encoded by one of them. What
    was stopped goes on with the videos that are not yet whole.

    Args:
        folder: Of the files.
        wanted: What there should be.
        layout: Of the rows.
        encoders: The network on each device that may be used.
        are_rows_checked: Compare all checksums of what is there.

    Raises:
        ValueError: it does not fit on the disk, or cannot be written there; says why.
    """
    started = time.monotonic()
    task = _Task(folder, layout, are_rows_checked)
    lacking = task.find_lacking(wanted)
    count = FrameCount(sum(one.num_frames for one in lacking))
    if lacking:
        _check_room(folder, sum(one.num_frames for one in lacking) * layout.num_bytes)
        with _telling(folder), Claims(folder) as claims:
            busy = _encode_all(task, lacking, encoders, claims, count)
            # those that other processes have claimed, once they are done with them, or gone
            for one in busy:
                task.encode(one, encoders[0], claims, count, is_waiting=True)
    rows = tuple(EncodedRows(folder / one.file_name, one.num_frames, layout) for one in wanted)
    num_bytes = sum(one.num_frames for one in wanted) * layout.num_bytes
    seconds = time.monotonic() - started
    if count.done:
        logger.info(
            f"dataset.feature_cache: {count.done:,} frames encoded in {as_time(seconds)}; "
            f"{as_bytes(num_bytes)} of features in {folder}"
        )
    return Filled(rows, num_bytes, count.done, seconds)


@dataclass(frozen=True)
class _Task:
    """What is the same for all videos of a filling."""

    folder: Path
    layout: RowLayout
    are_rows_checked: bool

    def find_lacking(self, wanted: Sequence[Wanted]) -> list[Wanted]:
        """Return what is missing or damaged, and say what is there."""
        faults = [self._fault(one) for one in wanted]
        lacking = [one for one, fault in zip(wanted, faults, strict=True) if fault is not None]
        for one, fault in zip(wanted, faults, strict=True):
            if fault is not None and not is_missing(fault):
                logger.warning(
                    f"{self.folder / one.file_name}: {fault}; video {one.video_id} is encoded anew"
                )
        frames, size = sum(one.num_frames for one in wanted), self.layout.num_bytes
        left = sum(one.num_frames for one in lacking)
        logger.info(
            f"dataset.feature_cache: {frames:,} frames x {as_bytes(size)} = "
            f"{as_bytes(frames * size)} in {self.folder}; {left:,} frames, "
            f"{as_bytes(left * size)}, are to be encoded"
        )
        return lacking

    def encode(
        self, one: Wanted, encoder: Encoder, claims: Claims, count: FrameCount, *, is_waiting: bool
    ) -> bool:
        """Encode a video unless it is there by now; return False where another process does."""
        if not claims.take(one.file_name, is_waiting=is_waiting):
            return False
        try:
            if self._fault(one) is None:
                count.leave_out(one.num_frames)
            else:
                chunks = _chunks(one, encoder, count)
                write_rows(self.folder / one.file_name, one.num_frames, self.layout, chunks)
        finally:
            claims.give_back(one.file_name)
        return True

    def _fault(self, one: Wanted) -> str | None:
        path = self.folder / one.file_name
        return find_fault(path, one.num_frames, self.layout, are_rows_checked=self.are_rows_checked)


def _chunks(one: Wanted, encoder: Encoder, count: FrameCount) -> Iterator[FrameLevels]:
    for start in range(0, one.num_frames, CHUNK):
        frames = range(start, min(start + CHUNK, one.num_frames))
        yield encoder.encode(one.read(frames, encoder.device))
        count.add(len(frames))


def _encode_all(
    task: _Task,
    lacking: Sequence[Wanted],
    encoders: Sequence[Encoder],
    claims: Claims,
    count: FrameCount,
) -> list[Wanted]:
    """Encode what no other process has claimed; return what others have."""
    if len(encoders) == 1 and encoders[0].device.type == "cpu":
        # here, not in a thread: a computation's own threads, and so its last bits, may differ there
        done = [task.encode(one, encoders[0], claims, count, is_waiting=False) for one in lacking]
    else:
        seats: SimpleQueue[Encoder] = SimpleQueue()
        for encoder in READERS * [*encoders]:
            seats.put(encoder)

        def encode(one: Wanted) -> bool:
            encoder = seats.get()
            try:
                return task.encode(one, encoder, claims, count, is_waiting=False)
            finally:
                seats.put(encoder)

        executor = ThreadPoolExecutor(len(encoders) * READERS)
        try:
            done = list(executor.map(encode, lacking))
        finally:
            executor.shutdown(cancel_futures=True)
    return [one for one, is_done in zip(lacking, done, strict=True) if not is_done]


@contextmanager
def _telling(folder: Path) -> Iterator[None]:
    """Say which setting names a folder that cannot be written; other failures stay."""
    try:
        yield
    except OSError as error:
        path = Path(error.filename or ".")
        if folder not in (path, *path.parents):
            raise
        raise ValueError(
            f"dataset.feature_cache: cannot write {path} ({error.strerror}); make room, "
            "bring the disk back, or name another folder. What is encoded is kept, and the next "
            "start goes on from there"
        ) from error


def _check_room(folder: Path, num_bytes: int) -> None:
    """Refuse what does not fit on the disk, before anything is encoded."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if num_bytes > free:
        raise ValueError(
            f"dataset.feature_cache: {folder} needs {as_bytes(num_bytes)} more, and its disk has "
            f"{as_bytes(free)} free; make room or name another folder, or lower "
            "dataset.image_size or dataset.feature_cache_variants, or leave dataset.feature_cache "
            "out"
        )
