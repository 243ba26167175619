"""Look at videos in several processes, and only at those that an index does not know."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
from loguru import logger

from sam2_video.data.cores import num_cores
from sam2_video.data.facts import VideoFacts, look_at_video
from sam2_video.data.index import Known, fingerprint, load_index, save_index
from sam2_video.data.video import Video

FEW_FRAMES = 3000
"""That are looked at faster than other processes start."""
_PIECES = 8


def look_at_videos(
    videos: Sequence[Video],
    path: Path | None,
    *,
    full: bool = False,
    num_processes: int | None = None,
) -> Mapping[str, VideoFacts]:
    """Return the facts of each video by name, and keep them.

    Args:
        videos: The videos.
        path: Of the index; None reads all and keeps nothing.
        full: Decode every frame; what an index knows is then read again.
        num_processes: Processes that read; None = one a core, if there is enough to do.
    """
    known = load_index(path) if path is not None and not full else {}
    prints = {video.video_id: _prints(video) for video in videos}
    found = {
        name: known[name].facts
        for name, (annotations, frames) in prints.items()
        if name in known
        and all((annotations, frames))
        and (known[name].annotations, known[name].frames) == (annotations, frames)
    }
    new = [video for video in videos if video.video_id not in found]
    if path is not None and found:
        logger.info(f"{len(found)} of {len(videos)} videos are as the index {path} knows them")
    looked_at = _look(new, full=full, num_processes=num_processes)
    found |= {video.video_id: facts for video, facts in zip(new, looked_at, strict=True)}
    for video in new:
        video.recall(found[video.video_id].shown, found[video.video_id].sets)
    if path is not None and new:
        kept = {name: Known(found[name], *prints[name]) for name in prints if all(prints[name])}
        if kept:
            save_index(path, kept)
    return {video.video_id: found[video.video_id] for video in videos}


def _prints(video: Video) -> tuple[bytes, bytes]:
    return fingerprint(video.annotation_sources()), fingerprint(video.frames.files())


def _look(
    videos: Sequence[Video], *, full: bool, num_processes: int | None
) -> Iterator[VideoFacts]:
    look = partial(look_at_video, full=full)
    num_frames = sum(video.num_frames for video in videos)
    if num_processes is None:
        num_processes = 1 if num_frames < FEW_FRAMES else num_cores()
    if num_processes == 1 or len(videos) < 2:
        yield from map(look, videos)
        return
    logger.info(f"looking at {len(videos)} videos, {num_frames} frames, {num_processes} processes")
    # a forked process may inherit locks that OpenCV's or torch's threads hold
    context = get_context("spawn")
    piece = max(len(videos) // (num_processes * _PIECES), 1)
    with ProcessPoolExecutor(
        num_processes, context, initializer=cv2.setNumThreads, initargs=(1,)
    ) as pool:
        yield from pool.map(look, videos, chunksize=piece)
