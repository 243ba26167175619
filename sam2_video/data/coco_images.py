"""The images of a COCO file by video, as the file says or as a pattern finds in their names."""

import re
import reprlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from sam2_video.data.frames import natural_key
from sam2_video.limits import MOST_PATH_LETTERS, check_name

Record = dict[str, Any]
_ROBOFLOW = ".rf."
"""In the names of Roboflow's images, before a digest in which patterns would find numbers."""
PATTERNS = (
    r"(?P<video>.+)[_-](?P<frame>\d+)_(jpe?g|png)\.rf\.",
    r"(?P<frame>\d+)_(jpe?g|png)\.rf\.",
    r"[0-9a-f]{8}-(?P<video>.+)[_-](?P<frame>\d+)\.\w+$",  # Label Studio
    r"(?P<video>.+)[_/-](?P<frame>\d+)\.\w+$",
    r"(?P<frame>\d+)\.\w+$",
)
"""Names that are often met, what says most first."""


def group_images(
    json_path: Path, images: Sequence[Record], video_pattern: str | None = None
) -> dict[int | str, list[Record]]:
    """Return the images of each video in order, every field checked.

    Args:
        json_path: The file.
        images: Its images.
        video_pattern: A regular expression that finds `frame`, and `video` if there are several,
            in `file_name`; without, the images' `video_id` and `order_in_video` tell.
    """
    check_images(json_path, images)
    if video_pattern is not None:
        return _group_by_name(json_path, images, re.compile(video_pattern))
    by_video: dict[int | str, list[Record]] = defaultdict(list)
    for image in images:
        where = _where(json_path, image)
        if image.get("video_id") is None:
            raise ValueError(
                f"{where}: no `video_id`, so its video is unknown; {_suggest(images)}add "
                "`video_id` and `order_in_video` to every image, or point dataset.data_path to "
                "folders of frames; where each image stands by itself, set dataset.format: images"
            )
        check_field(image, "video_id", (int, str), where)
        check_field(image, "order_in_video", int, where)
        by_video[image["video_id"]].append(image)
    for video_id, members in by_video.items():
        members.sort(key=lambda image: image["order_in_video"])
        for one, two in pairwise(members):
            if one["order_in_video"] == two["order_in_video"]:
                raise ValueError(
                    f"{json_path}, video {video_id}: {one['file_name']} and {two['file_name']} "
                    f"both have `order_in_video` {one['order_in_video']}; number frames uniquely"
                )
    return dict(by_video)


def check_images(json_path: Path, images: Sequence[Record]) -> None:
    """Refuse images without the fields that each must have, or with the same `id`."""
    ids = set()
    for image in images:
        where = _where(json_path, image)
        check_field(image, "id", (int, str), where)
        check_field(image, "width", int, where)
        check_field(image, "height", int, where)
        check_field(image, "file_name", str, where)
        check_name(image["file_name"], where, MOST_PATH_LETTERS)
        if image["id"] in ids:
            raise ValueError(f"{where}: two images have this `id`; give each its own")
        ids.add(image["id"])


def check_field(record: Record, key: str, kinds: type | tuple[type, ...], where: str) -> None:
    """Refuse a record without a field, or with one of another kind."""
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, kinds):
        kind = kinds.__name__ if isinstance(kinds, type) else "int or str"
        raise ValueError(
            f"{where}: `{key}` is {reprlib.repr(value)}, expected {kind}; correct the JSON"
        )


def _where(json_path: Path, image: Record) -> str:
    return f"{json_path}, image {str(image.get('id'))[:40]} ({str(image.get('file_name'))[:80]})"


def _group_by_name(
    json_path: Path, images: Sequence[Record], pattern: re.Pattern[str]
) -> dict[int | str, list[Record]]:
    by_video: dict[int | str, dict[str, Record]] = defaultdict(dict)
    for image in images:
        place = _place(image["file_name"], pattern)
        if place is None:
            raise ValueError(
                f"{_where(json_path, image)}: dataset.video_pattern {pattern.pattern!r} finds no "
                f"frame in this name; {_suggest(images)}correct the pattern, or rename the images"
            )
        video, frame = place
        other = by_video[video or json_path.stem].setdefault(frame, image)
        if other is not image:
            raise ValueError(
                f"{_where(json_path, image)}: frame {frame} of video {video or json_path.stem} is "
                f"{other['file_name']} too, by dataset.video_pattern; correct the pattern; of "
                "augmented exports (Roboflow) make a version without augmentation"
            )
    return {video: _in_order(frames) for video, frames in by_video.items()}


def _place(file_name: str, pattern: re.Pattern[str]) -> tuple[str | None, str] | None:
    """Return the video and the frame that a pattern finds in a name."""
    found = pattern.search(file_name.replace("\\", "/"))
    if found is None or found["frame"] is None:
        return None
    video = found.groupdict().get("video")
    # names of videos become names of folders
    return (video and video.replace("/", "-")), found["frame"].lstrip("0") or "0"


def _in_order(frames: Mapping[str, Record]) -> list[Record]:
    return [frames[frame] for frame in sorted(frames, key=natural_key)]


def _suggest(images: Sequence[Record]) -> str:
    """Return which pattern would find videos in the names, if one of `PATTERNS` does."""
    is_roboflow = any(_ROBOFLOW in image["file_name"] for image in images)
    for pattern in (one for one in PATTERNS if is_roboflow == one.endswith(r"\.rf\.")):
        places = [_place(image["file_name"], re.compile(pattern)) for image in images]
        if None in places or len(set(places)) < len(places):
            continue
        counts: dict[str | None, int] = defaultdict(int)
        for video, _ in filter(None, places):
            counts[video] += 1
        if max(counts.values()) > 1:
            low, high = min(counts.values()), max(counts.values())
            frames = f"{low}" if low == high else f"{low} to {high}"
            return (
                f"set dataset.video_pattern: '{pattern}' (finds {len(counts)} video"
                f"{'s' * (len(counts) > 1)} of {frames} frames in the names); or "
            )
    return ""
