"""The `meta.json` of YouTube-VOS, MOSE and LVOS: what objects are, and where they are annotated."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam2_video.data.frames import visible_entries
from sam2_video.files import read_json
from sam2_video.limits import is_id


@dataclass(frozen=True)
class VideoMeta:
    """What is said of the objects of a video: their categories, and the frames listed for each."""

    path: Path
    categories: Mapping[int, str]
    frames: Mapping[int, frozenset[str]]


def read_meta(root: Path) -> dict[str, VideoMeta]:
    """Return what the tree's `meta.json` (or `*_meta.json`, `meta_*.json`) says of each video.

    A tree needs none. Files of another kind, such as LVOS' expressions, are passed over.

    Args:
        root: The folder that holds the frames' folder.

    Raises:
        ValueError: an object is not as it should be.
    """
    for path in visible_entries(root):
        if path.suffix == ".json" and "meta" in path.stem.split("_") and path.is_file():
            content = read_json(path, "copy the file again, or remove it")
            videos = content.get("videos") if isinstance(content, dict) else None
            if isinstance(videos, dict) and any(map(_has_objects, videos.values())):
                return {name: _read_video(path, name, one) for name, one in videos.items()}
    return {}


def _has_objects(video: object) -> bool:
    return isinstance(video, dict) and "objects" in video


def _read_video(path: Path, name: str, video: Any) -> VideoMeta:  # noqa: ANN401 (JSON)
    where = f"{path}, video {name}"
    categories: dict[int, str] = {}
    frames: dict[int, frozenset[str]] = {}
    objects = video.get("objects", {}) if isinstance(video, dict) else None
    if not isinstance(objects, dict):
        raise ValueError(f"{where}: expected `objects`: a mapping of objects; correct the file")
    for label, entry in objects.items():
        is_number = label.isdecimal() and len(label) < 20 and is_id(int(label))
        if not is_number or not isinstance(entry, dict):
            raise ValueError(
                f"{where}: object {label[:40]!r} is {str(entry)[:40]}; expected a number, and a "
                "mapping of `category` and `frames`: correct the file, or remove it"
            )
        if isinstance(category := entry.get("category"), str):
            categories[int(label)] = category
        if isinstance(listed := entry.get("frames"), list):
            frames[int(label)] = frozenset(map(str, listed))
    return VideoMeta(path, categories, frames)
