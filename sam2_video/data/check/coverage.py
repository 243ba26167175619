"""Find where annotations leave a video's time uncovered: its length, gaps, repeats, visibility."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from sam2_video.data.check.report import Finding
from sam2_video.data.facts import VideoFacts
from sam2_video.data.sampling import ClipSettings, can_be_supervised, is_still
from sam2_video.data.source import ImageFiles
from sam2_video.data.video import UNKNOWN, Video

MANY_REPEATS = 0.1
REGULAR = 0.8
"""The share of steps between frame numbers that must be equal for others to be jumps."""


def find_in_coverage(video: Video, facts: VideoFacts, settings: ClipSettings) -> Iterator[Finding]:
    """Yield what is to be said of the frames of a video that shows objects."""
    if can_be_supervised(video, settings):
        yield from _find_in_length(video, settings)
        yield from _find_gap(video, facts, settings)
    else:
        yield _find_untaught(video)
    if isinstance(video.frames, ImageFiles):
        yield from _find_repeats(video, video.frames.paths, facts)
        yield from _find_jumps(video)


def find_in_visibility(video: Video, facts: VideoFacts) -> Iterator[Finding]:
    """Yield the objects that are seen nowhere, and those that are seen on one frame only."""
    for object_id in (name for name in video.declared_ids if name not in facts.object_ids):
        yield Finding(
            "warning",
            "object never visible",
            "is named by the annotations, but has no pixel on any frame",
            "draw it, or remove it",
            video=video.video_id,
            object_id=object_id,
        )
    num_labelled = int((facts.shown != UNKNOWN).sum())
    for object_id in facts.object_ids if num_labelled > 1 else ():
        frames = np.flatnonzero(facts.areas_of(object_id))
        if len(frames) == 1:
            yield Finding(
                "hint",
                "object visible on one frame only",
                f"is visible on 1 of {num_labelled} labelled frames, so nothing is learned of "
                "following it",
                "label it on more frames, if it is there, or remove it",
                video=video.video_id,
                frame=video.frame_names[int(frames[0])],
                object_id=object_id,
            )


def longest_gap(frames: Int64[np.ndarray, " labelled"]) -> tuple[int, int]:
    """Return the most frames in a row without a label between two that have one, and its start.

    >>> longest_gap(np.array([0, 1, 5, 7]))
    (3, 1)
    """
    if len(frames) < 2:
        return 0, 0
    steps = np.diff(frames)
    place = int(steps.argmax())
    return int(steps[place]) - 1, int(frames[place])


def _find_untaught(video: Video) -> Finding:
    still = is_still(video)
    message = "one labelled frame" if still else "no clip can hold two labelled frames"
    way_out = (
        "set dataset.still_images: motion, or label more frames"
        if still
        else "raise dataset.frame_stride or dataset.video_clip_length, or label more frames"
    )
    return Finding(
        "warning",
        "video that teaches no tracking",
        f"{message}, so nothing is learned of tracking",
        way_out,
        video=video.video_id,
    )


def _find_in_length(video: Video, settings: ClipSettings) -> Iterator[Finding]:
    if video.num_frames < settings.length:
        yield Finding(
            "hint",
            "video shorter than a clip",
            f"{video.num_frames} frames, a clip has {settings.length}: it is played to and fro",
            "lower dataset.video_clip_length, if there are many such videos",
            video=video.video_id,
        )


def _find_gap(video: Video, facts: VideoFacts, settings: ClipSettings) -> Iterator[Finding]:
    gap, start = longest_gap(np.flatnonzero(facts.shown != UNKNOWN))
    reach = (settings.length - 1) * settings.largest_stride
    if gap >= reach:
        yield Finding(
            "hint",
            "gap between labelled frames",
            f"{gap} frames in a row have no label, and a clip of {settings.length} frames at "
            f"strides up to {settings.largest_stride} spans {reach + 1}: none reaches over the gap",
            "label a frame between, or raise dataset.frame_stride",
            video=video.video_id,
            frame=video.frame_names[start],
        )


def _find_repeats(video: Video, paths: Sequence[Path], facts: VideoFacts) -> Iterator[Finding]:
    if not len(facts.repeats):
        return
    frame, earlier = map(int, facts.repeats[0])
    share = len(facts.repeats) / video.num_frames
    yield Finding(
        "warning" if share >= MANY_REPEATS else "hint",
        "duplicate frames",
        f"{len(facts.repeats)} of {video.num_frames} frames are the same file as an earlier one, "
        f"the first of them as frame {video.frame_names[earlier]}",
        "extract frames at the video's own rate, or remove the copies",
        str(paths[frame]),
        video.video_id,
        video.frame_names[frame],
    )


def _find_jumps(video: Video) -> Iterator[Finding]:
    """Find frames that are missing between others: motion leaps there."""
    numbers = _frame_numbers(video.frame_names)
    if len(numbers) < 3:
        return
    steps = np.diff(numbers)
    usual, count = Counter(steps.tolist()).most_common(1)[0]
    jumps = np.flatnonzero(steps > usual)
    if usual < 1 or count < REGULAR * len(steps) or not len(jumps):
        return
    first = int(jumps[0])
    missing = int((steps[jumps] - usual).sum()) // usual
    yield Finding(
        "hint",
        "gap in frame numbers",
        f"{missing} frames are missing in {len(jumps)} places, the first time before frame "
        f"{video.frame_names[first + 1]}: objects leap there",
        "extract the frames again, or split the video where it is cut",
        video=video.video_id,
        frame=video.frame_names[first],
    )


def _frame_numbers(names: Sequence[str]) -> Int64[np.ndarray, " frames"]:
    """Return the last number in each name; none where a name has none that an array holds."""
    found = [re.search(r"(\d{1,18})\D*$", name) for name in names]
    numbers = [int(one[1]) for one in found if one is not None]
    return np.array(numbers if len(numbers) == len(found) else [], dtype=np.int64)
