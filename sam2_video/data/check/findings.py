"""Grade what is known of a video: what stops training, what costs data, what may be as it should.

Sizes are judged at the model's input. What the model draws has a quarter of its sides (SAM 2's mask
decoder), and a cell of memory stands for 16 by 16 pixels of it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from sam2_video.config import DatasetConfig
from sam2_video.data.check.coverage import find_in_coverage, find_in_visibility
from sam2_video.data.check.report import Finding
from sam2_video.data.coco_video import CocoVideo
from sam2_video.data.facts import VideoFacts
from sam2_video.data.folder import FolderVideo
from sam2_video.data.sets import clip_settings
from sam2_video.data.video import Video
from sam2_video.structures import IGNORE, OBJECT

DRAWN_PIXEL, MEMORY_CELL = 4, 16
"""Sides, in pixels of the model's input, of a pixel of the drawn mask, and of a cell of memory."""
MUCH = 0.2
"""The share of an object's masks from which on being too small is a warning."""
MANY_OBJECTS = 30
"""From which on it is asked whether all objects of a label map are objects."""
MOST_LOOKED_AT = 20
_ALL_IGNORED = "write the object as 1 in place of 255, or use a folder for each object"
_EMPTY = "write objects as 1, 2, ... in the masks (0 is background, 255 is ignore), or remove it"


def find_in_path(
    path: str, videos: Sequence[Video], facts: Mapping[str, VideoFacts]
) -> Iterator[Finding]:
    """Yield what holds for all videos of a path."""
    if not videos:
        return
    if not any(facts[video.video_id].object_ids for video in videos):
        message = f"no object is visible on any labelled frame of {len(videos)} videos"
        way_out = _ALL_IGNORED if any(map(_has_ignored, videos)) else _EMPTY
        yield Finding("error", "data", message, way_out, file=path)
    yield from _find_large_numbers(path, videos, facts)
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


def _find_large_numbers(
    path: str, videos: Sequence[Video], facts: Mapping[str, VideoFacts]
) -> Iterator[Finding]:
    large = [
        (video.video_id, object_id)
        for video in videos
        for object_id in facts[video.video_id].object_ids
        if object_id >= IGNORE
    ]
    if large:
        yield Finding(
            "hint",
            "object numbers above 254",
            f"{len(large)} objects have numbers that no label map can hold, the first of them in "
            f"video {large[0][0]}",
            "they can be trained on; write predicted masks with --layout objects",
            file=path,
            object_id=large[0][1],
        )


def _has_ignored(video: Video) -> bool:
    """Say whether a video without objects has masks of 255, as of programs that draw white."""
    for index in video.labelled_frames[:MOST_LOOKED_AT]:
        try:
            if (video.read_masks(index, (1,)) == IGNORE).any():
                return True
        except (OSError, ValueError):  # which the look at the video has told
            return False
    return False


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
            message, way_out = "no object is visible on any labelled frame", _EMPTY
            if _has_ignored(video):
                message += ", and masks hold the value 255, which is ignored"
                way_out = _ALL_IGNORED
            message += ": the video is left out"
            yield Finding("warning", "empty video", message, way_out, video=video.video_id)
        return
    yield from find_in_coverage(video, facts, clip_settings(config))
    smoothed = _find_smoothed(video, facts)
    if smoothed is not None:
        yield smoothed
        return
    yield from find_in_visibility(video, facts)
    for object_id in facts.object_ids:
        yield from _find_in_sizes(video, facts, object_id, config)


def _find_smoothed(video: Video, facts: VideoFacts) -> Finding | None:
    """Find masks whose edges are blended: each grey value along them reads as an object."""
    if not isinstance(video, FolderVideo) or len(facts.object_ids) <= MANY_OBJECTS:
        return None
    lengths = np.array([len(ids) for ids in facts.sets] + [0])
    share = _share_of_borders(video, int(lengths[facts.shown].argmax()))
    if share < MUCH:
        return None
    return Finding(
        "warning",
        "masks that look smoothed",
        f"{len(facts.object_ids)} objects, and {100 * share:.0f} % of their pixels border on "
        "another one: along an edge that was smoothed each grey value is an object of its own",
        "export masks without smoothing, scaling or JPEG",
        video=video.video_id,
    )


def _share_of_borders(video: Video, index: int) -> float:
    """Return the share of the objects' pixels on a frame whose right neighbour is of another."""
    ids = video.visible_objects(index)
    labels = np.zeros(video.size, dtype=np.int64)
    for object_id, mask in zip(ids, video.read_masks(index, ids), strict=True):
        labels[mask.numpy() == OBJECT] = object_id
    left, right = labels[:, :-1], labels[:, 1:]
    borders = (left != right) & (left > 0) & (right > 0)
    return float(borders.sum()) / max(float((labels > 0).sum()), 1.0)


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
