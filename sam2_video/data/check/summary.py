"""Sum up an inspection: a line a video and object."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Int64

from sam2_video.data.check.coverage import longest_gap
from sam2_video.data.check.findings import DRAWN_PIXEL, input_sides
from sam2_video.data.check.inspection import Inspection, OpenedPath
from sam2_video.data.check.report import CheckReport, ObjectSummary, SetSummary, VideoSummary
from sam2_video.data.facts import VideoFacts
from sam2_video.data.video import UNKNOWN, Video


def summarise(inspection: Inspection) -> CheckReport:
    """Return the report of an inspection."""
    height, width = inspection.config.image_size
    return CheckReport(
        image_size=(height, width),
        clip_length=inspection.config.video_clip_length,
        sets=tuple(_summarise_path(opened) for opened in inspection.paths),
        findings=inspection.findings,
    )


def _summarise_path(opened: OpenedPath) -> SetSummary:
    layout = opened.layout
    return SetSummary(
        path=opened.path,
        layout=layout and layout.name,
        reason=layout and layout.reason,
        sureness=layout and layout.sureness,
        videos=tuple(_summarise_video(opened, video) for video in opened.videos),
    )


def _summarise_video(opened: OpenedPath, video: Video) -> VideoSummary:
    facts = opened.facts[video.video_id]
    return VideoSummary(
        video=video.video_id,
        part=opened.parts[video.video_id],
        frames=video.num_frames,
        size=facts.size,
        labelled=len(video.labelled_frames),
        longest_gap=longest_gap(np.asarray(video.labelled_frames, dtype=np.int64))[0],
        unreadable=len(facts.faults),
        objects=tuple(_summarise_objects(opened, video, facts)),
    )


def _summarise_objects(
    opened: OpenedPath, video: Video, facts: VideoFacts
) -> Iterator[ObjectSummary]:
    for object_id in sorted({*facts.object_ids, *video.declared_ids}):
        speaks = speaks_of(video, facts, object_id)
        sides = input_sides(facts, object_id, opened.config.image_size)
        seen = sides[sides > 0]
        has_seen = len(seen) > 0
        yield ObjectSummary(
            object_id=object_id,
            name=video.object_names.get(object_id),
            labelled=int(speaks.sum()),
            visible=len(seen),
            returns=count_returns(sides[speaks] > 0),
            longest_absence=longest_absence(np.flatnonzero(speaks), sides[speaks] > 0),
            smallest_side=float(seen.min()) if has_seen else None,
            median_side=float(np.median(seen)) if has_seen else None,
            largest_side=float(seen.max()) if has_seen else None,
            too_small=float((seen < DRAWN_PIXEL).mean()) if has_seen else 0.0,
        )


def speaks_of(video: Video, facts: VideoFacts, object_id: int) -> Bool[np.ndarray, " frames"]:
    """Return which frames say of an object that it is visible, or that it is absent."""
    speaks = facts.shown != UNKNOWN
    for index in np.flatnonzero(speaks).tolist():
        speaks[index] = video.is_labelled(index, object_id)
    return speaks


def count_returns(is_visible: Bool[np.ndarray, " frames"]) -> int:
    """Return how often an object is visible again after it was absent.

    >>> count_returns(np.array([False, True, False, True, True]))
    1
    """
    starts = Counter((is_visible[1:] & ~is_visible[:-1]).tolist())[True]
    return starts + int(is_visible[0]) - 1 if is_visible.any() else 0


def longest_absence(
    frames: Int64[np.ndarray, " labelled"], is_visible: Bool[np.ndarray, " labelled"]
) -> int:
    """Return the most frames for which an object is away before it comes back.

    Args:
        frames: The frames that speak of the object.
        is_visible: Whether it is visible on each.

    >>> longest_absence(np.array([0, 4, 8, 9]), np.array([True, False, True, False]))
    7
    """
    seen = np.flatnonzero(is_visible)
    left = seen[:-1][np.diff(seen) > 1]
    back = seen[1:][np.diff(seen) > 1]
    return int((frames[back] - frames[left] - 1).max()) if len(left) else 0
