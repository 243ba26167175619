"""Open a YTVIS JSON file, of which OVIS and UVO have the shape: a list of masks for each object."""

import reprlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sam2_video.data.coco_images import Record
from sam2_video.data.coco_video import CocoVideo, Region
from sam2_video.data.frames import natural_key
from sam2_video.data.image_paths import ImagesFolder, find_images_root, image_path
from sam2_video.data.video import Problems
from sam2_video.files import read_json
from sam2_video.limits import check_name, check_pixels, is_id, is_name
from sam2_video.masks import check_segmentation

_LISTS = ("segmentations", "bboxes", "areas")


@dataclass(frozen=True)
class _Listed:
    """A video as the file lists it, checked, and where it stands."""

    where: str
    id: int | str
    file_names: Sequence[str]
    size: tuple[int, int]
    name: str | None


def holds_ytvis(content: object) -> bool:
    """Say whether what a JSON file holds is `annotations`, and `videos` with `file_names`."""
    if not isinstance(content, dict) or "annotations" not in content or "images" in content:
        return False
    videos = content.get("videos")
    return isinstance(videos, list) and any(
        isinstance(video, dict) and "file_names" in video for video in videos
    )


def open_ytvis(
    json_path: Path,
    images_path: Path | None = None,
    problems: Problems | None = None,
    *,
    follow_links: bool = False,
) -> list[CocoVideo]:
    """Open the videos of a YTVIS file in the natural order of their names.

    An annotation is an object, and its `id` the object's. Every listed frame is labelled: on one
    whose segmentation is null the object is absent. A video has the name of its frames' folder.

    Args:
        json_path: The file.
        images_path: What `file_names` are relative to; found where not given.
        problems: Takes the videos whose images are not as they should be; without, an error.
        follow_links: Images may be links that leave the images' folder.

    Raises:
        ValueError: a record is incomplete, contradicts another, or leaves the images' folder.
        FileNotFoundError: an image is not there.
    """
    listed, annotations, categories = _read(json_path)
    by_video = _group(json_path, annotations, listed)
    names = _name(listed)
    for key, name in names.items():
        check_name(name, listed[key].where)
    videos = []
    for video in listed.values():
        name = names[video.id]
        own = by_video[video.id]
        try:
            root = images_path or find_images_root(json_path, video.file_names[0])
            folder = ImagesFolder(json_path, root, follow_links)
            paths = [image_path(folder, file) for file in video.file_names]
            regions = _regions(own, video, f"{json_path}, annotation")
        except (OSError, ValueError) as error:
            if problems is None:
                raise
            problems[name] = str(error)
            continue
        stems = [path.stem for path in paths]
        if len(set(stems)) < len(stems):
            stems = [str(path.relative_to(root).with_suffix("")) for path in paths]
        opened = CocoVideo(name, paths, stems, video.size, regions, json_path)
        known = {one["id"]: _category_of(one, categories) for one in own}
        opened.object_names = {key: called for key, called in known.items() if called}
        videos.append(opened)
    return sorted(videos, key=lambda video: natural_key(video.video_id))


def _category_of(annotation: Record, categories: Mapping[int, str]) -> str | None:
    key = annotation.get("category_id")
    return categories.get(key) if isinstance(key, int) else None


def _read(
    json_path: Path,
) -> tuple[dict[int | str, _Listed], list[Record], dict[int, str]]:
    """Return the videos by their id, the annotations, and the categories' names."""
    content = read_json(json_path)
    if not isinstance(content, dict) or not isinstance(content.get("videos"), list):
        raise ValueError(
            f"{json_path}: no YTVIS file: `videos` is missing; correct dataset.data_path, or "
            "dataset.format"
        )
    annotations = content.get("annotations")
    if not isinstance(annotations, list) or not annotations:
        raise ValueError(
            f"{json_path}: `annotations` is {str(annotations)[:40]}, expected a list of objects; "
            "the published test and validation files have none: use the training file"
        )
    listed: dict[int | str, _Listed] = {}
    for number, record in enumerate(content["videos"]):
        video = _check_video(f"{json_path}, video {number} of the list", record)
        if video.id in listed:
            raise ValueError(f"{video.where}: two videos have this `id`; give each its own")
        listed[video.id] = video
    categories = content.get("categories")
    records = categories if isinstance(categories, list) else []
    pairs = [(one.get("id"), one.get("name")) for one in records if isinstance(one, dict)]
    names = {key: name for key, name in pairs if type(key) is int and isinstance(name, str)}
    return listed, annotations, names


def _check_video(where: str, record: object) -> _Listed:
    if not isinstance(record, dict) or not _is_key(record.get("id")):
        raise ValueError(f"{where}: `id` is missing, expected a number; correct the JSON")
    where = where.replace(where[where.rindex("video ") :], f"video {record['id']}")
    files = record.get("file_names")
    if not isinstance(files, list) or not files or not all(isinstance(one, str) for one in files):
        raise ValueError(
            f"{where}: `file_names` is {str(files)[:40]}, expected a list of images; add it, or "
            "remove the video"
        )
    for key in ("height", "width"):
        if type(record.get(key)) is not int or record[key] < 1:
            raise ValueError(
                f"{where}: `{key}` is {reprlib.repr(record.get(key))}, expected a whole number "
                "above 0; correct the JSON"
            )
    check_pixels(record["height"], record["width"], where)
    length = record.get("length", len(files))
    if length != len(files):
        raise ValueError(
            f"{where}: `length` is {reprlib.repr(length)} but there are {len(files)} `file_names`; "
            "correct one of them"
        )
    name = record.get("name")
    size = (record["height"], record["width"])
    return _Listed(where, record["id"], files, size, name if isinstance(name, str) else None)


def _is_key(value: object) -> bool:
    return is_id(value) or (isinstance(value, str) and is_name(value))


def _name(listed: Mapping[int | str, _Listed]) -> dict[int | str, str]:
    """Return a video's name: its own, that of its frames' folder, or its id, whichever is unique.

    One way of naming serves for all videos.
    """
    named = {key: video.name for key, video in listed.items()}
    folders: dict[int | str, str | None] = {}
    for key, video in listed.items():
        parents = {PurePosixPath(file.replace("\\", "/")).parent.name for file in video.file_names}
        folders[key] = parents.pop() if len(parents) == 1 else None
    for names in (named, folders):
        if all(names.values()) and len(set(names.values())) == len(names):
            return {key: str(name) for key, name in names.items()}
    return {key: str(key) for key in listed}


def _group(
    json_path: Path, annotations: Sequence[object], listed: Mapping[int | str, _Listed]
) -> dict[int | str, list[Record]]:
    """Return the annotations of each video, the fields that identify them checked."""
    by_video: dict[int | str, list[Record]] = defaultdict(list)
    ids: Counter[int] = Counter()
    for annotation in annotations:
        if not isinstance(annotation, dict) or not is_id(annotation.get("id")):
            raise ValueError(
                f"{json_path}: an annotation has no `id`, or none that is a whole number "
                f"({str(annotation)[:40]}); objects are told apart by it: number the annotations"
            )
        where = f"{json_path}, annotation {annotation['id']}"
        ids[annotation["id"]] += 1
        if ids[annotation["id"]] > 1:
            raise ValueError(f"{where}: two annotations have this `id`; give each its own")
        video_id = annotation.get("video_id")
        if not isinstance(video_id, int | str) or video_id not in listed:
            raise ValueError(
                f"{where}: `video_id` {reprlib.repr(video_id)} is not among `videos`; add the "
                "video, or remove the annotation"
            )
        by_video[video_id].append(annotation)
    return by_video


def _regions(annotations: Sequence[Record], video: _Listed, where: str) -> dict[int, list[Region]]:
    """Return what is annotated on each frame of a video."""
    regions: dict[int, list[Region]] = defaultdict(list)
    for annotation in annotations:
        whose = f"{where} {annotation['id']} (video {video.id})"
        _check_lengths(annotation, len(video.file_names), whose)
        object_id = None if annotation.get("iscrowd", 0) else annotation["id"]
        for index, segmentation in enumerate(annotation["segmentations"]):
            if segmentation is not None:
                here = f"{whose}, frame {index} ({video.file_names[index]})"
                check_segmentation(segmentation, here)
                regions[index].append(Region(object_id, segmentation, here))
    return dict(regions)


def _check_lengths(annotation: Record, num_frames: int, where: str) -> None:
    if not isinstance(annotation.get("segmentations"), list):
        raise ValueError(
            f"{where}: `segmentations` is {str(annotation.get('segmentations'))[:40]}, expected a "
            "list with a mask, or null, for each frame; export masks, not only boxes"
        )
    for key in _LISTS:
        given = annotation.get(key)
        if isinstance(given, list) and len(given) != num_frames:
            raise ValueError(
                f"{where}: `{key}` has {len(given)} entries, its video {num_frames} frames; write "
                "one for each frame, null where the object is absent"
            )
