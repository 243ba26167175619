"""Grade what is known of a video: what stops training, what costs data, what may be as it should.

Sizes are judged at the model's input. What the model draws has a quarter of its sides (SAM 2's mask
decoder), and a cell of memory stands for 16 by 16 pixels of it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from sam2_video.config import DatasetConfig
from sam2_video.data.check.report import Finding
from sam2_video.data.coco_video import CocoVideo
from sam2_video.data.facts import Fault, VideoFacts
from sam2_video.data.sampling import can_be_supervised, is_still
from sam2_video.data.sets import clip_settings
from sam2_video.data.source import ImageFiles
from sam2_video.data.video import Video

DRAWN_PIXEL, MEMORY_CELL = 4, 16
"""Sides, in pixels of the model's input, of a pixel of the drawn mask, and of a cell of memory."""
MUCH = 0.2
"""The share of an object's masks from which on being too small is a warning."""
MANY_REPEATS = 0.1
_EMPTY = "write objects as 1, 2, ... in the masks (0 is background, 255 is ignore), or remove it"


def split_message(text: str) -> tuple[str, str]:
    """Return what a reader's error says is wrong, and its way out, which comes last."""
    message, mark, way_out = text.rpartition("; ")
    if not mark:
        message, mark, way_out = text.rpartition(": ")
    return (message, way_out) if mark else (text, "correct it")


def find_in_fault(video: Video, fault: Fault) -> Finding:
    """Return the finding of a frame or mask that could not be read."""
    message, way_out = split_message(fault.message)
    head, mark, rest = message.partition(": ")
    file = head if mark and Path(head).is_file() else None
    return Finding(
        "error",
        "frame that cannot be used" if fault.kind == "frame" else "mask that cannot be used",
        rest if file else message,
        way_out,
        file,
        video.video_id,
        video.frame_names[fault.frame],
    )


def find_in_path(
    path: str, videos: Sequence[Video], facts: Mapping[str, VideoFacts]
) -> Iterator[Finding]:
    """Yield what holds for all videos of a path."""
    if not videos:
        return
    if not any(facts[video.video_id].object_ids for video in videos):
        message = f"no object is visible on any labelled frame of {len(videos)} videos"
        yield Finding("error", "data", message, _EMPTY, file=path)
    merged = [count_merged(video) for video in videos if isinstance(video, CocoVideo)]
    num_merged = sum(count for count, _ in merged)
    num_frames = sum(count for _, count in merged)
    if num_merged and all(_are_categories(v) for v in videos if isinstance(v, CocoVideo)):
        yield Finding(
            "warning",
            "classes as one object",
            f"the file tells no objects apart, so each category is one object: on {num_merged} of "
            f"{num_frames} frames with objects several regions of a category are joined",
            "export identities (track_id, instance_id or object_id) if they are several objects",
            file=path,
        )


def _are_categories(video: CocoVideo) -> bool:
    return video.objects_are_categories


def count_merged(video: CocoVideo) -> tuple[int, int]:
    """Return on how many frames an object has several regions, and how many have objects."""
    counts = [video.count_regions(index) for index in range(video.num_frames)]
    return sum(any(n > 1 for n in one.values()) for one in counts), sum(map(bool, counts))


def find_in_video(video: Video, facts: VideoFacts, config: DatasetConfig) -> Iterator[Finding]:
    """Yield what is to be said of a video that could be opened."""
    if not facts.object_ids:
        if not any(fault.kind == "mask" for fault in facts.faults):
            message = "no object is visible on any labelled frame: the video is left out"
            yield Finding("warning", "empty video", message, _EMPTY, video=video.video_id)
        return
    yield from _find_in_length(video, config)
    yield from _find_repeats(video, facts)
    for object_id in (name for name in video.declared_ids if name not in facts.object_ids):
        yield Finding(
            "warning",
            "object never visible",
            "is named by the annotations, but has no pixel on any frame",
            "draw it, or remove it",
            video=video.video_id,
            object_id=object_id,
        )
    for object_id in facts.object_ids:
        yield from _find_in_sizes(video, facts, object_id, config)


def _find_in_length(video: Video, config: DatasetConfig) -> Iterator[Finding]:
    settings = clip_settings(config)
    if not can_be_supervised(video, settings):
        still = is_still(video)
        message = "one labelled frame" if still else "no clip can hold two labelled frames"
        way_out = (
            "set dataset.still_images: motion, or label more frames"
            if still
            else "raise dataset.frame_stride or dataset.video_clip_length, or label more frames"
        )
        yield Finding(
            "warning",
            "video that teaches no tracking",
            f"{message}, so nothing is learned of tracking",
            way_out,
            video=video.video_id,
        )
    elif video.num_frames < settings.length:
        yield Finding(
            "hint",
            "video shorter than a clip",
            f"{video.num_frames} frames, a clip has {settings.length}: it is played to and fro",
            "lower dataset.video_clip_length, if there are many such videos",
            video=video.video_id,
        )


def _find_repeats(video: Video, facts: VideoFacts) -> Iterator[Finding]:
    if not len(facts.repeats):
        return
    frame, earlier = map(int, facts.repeats[0])
    share = len(facts.repeats) / video.num_frames
    files = video.frames
    yield Finding(
        "warning" if share >= MANY_REPEATS else "hint",
        "duplicate frames",
        f"{len(facts.repeats)} of {video.num_frames} frames are the same file as an earlier one, "
        f"the first of them as frame {video.frame_names[earlier]}",
        "extract frames at the video's own rate, or remove the copies",
        str(files.paths[frame]) if isinstance(files, ImageFiles) else None,
        video.video_id,
        video.frame_names[frame],
    )


def _find_in_sizes(
    video: Video, facts: VideoFacts, object_id: int, config: DatasetConfig
) -> Iterator[Finding]:
    sides = input_sides(facts, object_id, config.image_size)
    frames = np.flatnonzero(sides)
    too_small = float((sides[frames] < DRAWN_PIXEL).mean())
    height, width = config.image_size
    where = {"video": video.video_id, "object_id": object_id}
    smallest = int(frames[sides[frames].argmin()])
    if too_small:
        yield Finding(
            "warning" if too_small >= MUCH else "hint",
            "object too small for the input",
            f"{100 * too_small:.0f} % of its masks vanish: at {height} x {width} px they are "
            f"smaller than one pixel of what the model draws ({DRAWN_PIXEL} x {DRAWN_PIXEL} px)",
            "raise dataset.image_size" + _enough(sides[frames], config.image_size),
            frame=video.frame_names[smallest],
            **where,
        )
    elif float(np.median(sides[frames])) < MEMORY_CELL:
        yield Finding(
            "hint",
            "object smaller than a cell of memory",
            f"its median side is {np.median(sides[frames]):.0f} px at {height} x {width} px, a "
            f"cell of memory has {MEMORY_CELL}",
            "a larger dataset.image_size helps, where there is memory for it",
            frame=video.frame_names[smallest],
            **where,
        )


def _enough(sides: np.ndarray, image_size: Sequence[int]) -> str:
    """Say at which larger input nearly all masks of an object are drawn."""
    factor = DRAWN_PIXEL / float(np.quantile(sides, 0.05))
    if factor <= 1:
        return ""
    height, width = (32 * math.ceil(side * factor / 32) for side in image_size)
    return f" (from {height} x {width} on 95 % of them would be drawn)"


def input_sides(facts: VideoFacts, object_id: int, image_size: Sequence[int]) -> np.ndarray:
    """Return the root of an object's area by frame, in pixels of the model's input."""
    scale = math.prod(image_size) / max(math.prod(facts.size), 1)
    return np.sqrt(facts.areas_of(object_id) * scale)
