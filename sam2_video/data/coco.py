"""Open a COCO JSON file for video: images with a video and an order, annotations with identity."""

import reprlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from loguru import logger

from sam2_video.data.coco_images import Record, check_field, check_images, group_images
from sam2_video.data.coco_video import CocoVideo, Region
from sam2_video.data.frames import natural_key
from sam2_video.data.image_paths import ImagesFolder, find_images_root, image_path
from sam2_video.data.video import Problems
from sam2_video.files import read_json
from sam2_video.limits import check_id, check_name, check_pixels
from sam2_video.masks import check_segmentation

IDENTITY_KEYS = ("track_id", "instance_id", "object_id")


def holds_coco(content: object) -> bool:
    """Say whether what a JSON file holds is `images` and `annotations`."""
    return isinstance(content, dict) and {"images", "annotations"} <= content.keys()


def open_coco(
    json_path: Path,
    images_path: Path | None = None,
    problems: Problems | None = None,
    video_pattern: str | None = None,
    *,
    follow_links: bool = False,
) -> list[CocoVideo]:
    """Open the videos of a COCO file in the natural order of their names.

    A video's name is the one in `videos`, else its `video_id`. Objects are told apart by the first
    of `track_id`, `instance_id` and `object_id` that the file has, in the annotations or in their
    `attributes`; without, by category.

    Args:
        json_path: The file.
        images_path: What `file_name` is relative to; found where not given.
        problems: Takes the videos whose images are not as they should be; without, an error.
        video_pattern: See `group_images`.
        follow_links: Images may be links that leave the images' folder.

    Raises:
        ValueError: A record is incomplete, contradicts another, or leaves the images' folder.
        FileNotFoundError: An image is not there.
    """
    content = _load_coco(json_path)
    by_video = group_images(json_path, content["images"], video_pattern)
    root = images_path or find_images_root(json_path, content["images"][0]["file_name"])
    folder = ImagesFolder(json_path, root, follow_links)
    key = _identity_key(json_path, content["annotations"]) or "category_id"
    regions = _group_regions(json_path, content["annotations"], content["images"], key)
    names = _name_videos(json_path, content.get("videos", []))
    videos = []
    for video_id, images in by_video.items():
        name = names.get(video_id) or str(video_id)
        try:
            videos.append(_open_video(folder, name, images, regions))
        except (OSError, ValueError) as error:
            if problems is None:
                raise
            problems[name] = str(error)
    for video in videos:
        video.objects_are_categories = key == "category_id"
    ids = [video.video_id for video in videos]
    if len(set(ids)) < len(ids):
        double = next(name for name in ids if ids.count(name) > 1)
        raise ValueError(f"{json_path}: two videos have the name {double!r}; rename one of them")
    return sorted(videos, key=lambda video: natural_key(video.video_id))


def open_coco_images(
    json_path: Path,
    images_path: Path | None = None,
    problems: Problems | None = None,
    *,
    follow_links: bool = False,
) -> list[CocoVideo]:
    """Open each image of a COCO file as a video of one frame, named like the image.

    Objects are told apart as in videos; where the file does not say, each annotation is one.
    The arguments and errors are those of `open_coco`.
    """
    content = _load_coco(json_path)
    images = content["images"]
    check_images(json_path, images)
    root = images_path or find_images_root(json_path, images[0]["file_name"])
    folder = ImagesFolder(json_path, root, follow_links)
    key = _identity_key(json_path, content["annotations"])
    regions = _group_regions(json_path, content["annotations"], images, key)
    names = [PureWindowsPath(image["file_name"]).with_suffix("") for image in images]
    are_unique = len({name.name for name in names}) == len(names)
    videos = []
    for image, path in zip(images, names, strict=True):
        name = path.name if are_unique else path.as_posix()
        try:
            videos.append(_open_video(folder, name, [image], regions))
        except (OSError, ValueError) as error:
            if problems is None:
                raise
            problems[name] = str(error)
    return sorted(videos, key=lambda video: natural_key(video.video_id))


def _load_coco(json_path: Path) -> dict[str, Any]:
    content = read_json(json_path)
    if not isinstance(content, dict) or not holds_coco(content):
        raise ValueError(
            f"{json_path}: no COCO file: `images` and `annotations` are missing; export as COCO "
            "with masks, or point dataset.data_path to folders of frames"
        )
    for key in ("images", "annotations", "videos"):
        listed = content.get(key, [])
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise ValueError(f"{json_path}: `{key}` is no list of records; export the file again")
    if not content["images"]:
        raise ValueError(f"{json_path}: `images` is empty; export at least one video")
    return content


def _name_videos(json_path: Path, videos: Sequence[Record]) -> dict[int | str, str]:
    """Return the names of the videos that have one, by their ids."""
    names: dict[int | str, str] = {}
    for video in videos:
        if video.get("name") is not None:
            where = f"{json_path}, video {str(video.get('id'))[:40]}"
            for key in ("id", "name"):
                check_field(video, key, (int, str), where)
            names[video["id"]] = str(video["name"])
    return names


def _group_regions(
    json_path: Path, annotations: Sequence[Record], images: Iterable[Record], key: str | None
) -> dict[int | str, list[Region]]:
    """Return the annotations of each image, with the identity of their object.

    Without a `key` that tells it, each annotation of an image is another object.
    """
    names = {image["id"]: image["file_name"] for image in images}
    regions: dict[int | str, list[Region]] = defaultdict(list)
    for annotation in annotations:
        where = f"{json_path}, annotation {annotation.get('id')}"
        image_id = annotation.get("image_id", "missing")
        if not isinstance(image_id, int | str) or image_id not in names:
            raise ValueError(
                f"{where}: `image_id` {reprlib.repr(image_id)} is not among `images`; add the "
                "image, or remove the annotation"
            )
        where += f" ({names[image_id]})"
        check_segmentation(annotation.get("segmentation"), where)
        object_id = None
        if not _is_crowd(annotation):
            object_id = len(regions[image_id]) + 1
            if key is not None:
                told = _telling(annotation, key)
                check_field(told, key, int, where)
                object_id = told[key]
                check_id(object_id, f"{where}: `{key}`")
        regions[image_id].append(Region(object_id, annotation["segmentation"], where))
    return dict(regions)


def _is_crowd(annotation: Record) -> bool:
    """Say whether a region is a crowd; CVAT calls each painted mask one, and tells `occluded`."""
    return bool(annotation.get("iscrowd", 0)) and "occluded" not in _attributes(annotation)


def _attributes(annotation: Record) -> Record:
    found = annotation.get("attributes")
    return found if isinstance(found, dict) else {}


def _telling(annotation: Record, key: str) -> Record:
    """Return what has a key: the annotation, or its `attributes`, as CVAT writes tracks."""
    return annotation if annotation.get(key) is not None else _attributes(annotation)


def _identity_key(json_path: Path, annotations: Sequence[Record]) -> str | None:
    """Return the field that tells objects apart: one for the whole file, so that ids never mix."""
    for key in IDENTITY_KEYS:
        if any(_telling(annotation, key).get(key) is not None for annotation in annotations):
            return key
    logger.info(
        f"{json_path}: annotations have none of {', '.join(IDENTITY_KEYS)}: each category is one "
        "object of its video, or with dataset.format: images each annotation"
    )
    return None


def _open_video(
    folder: ImagesFolder,
    name: str,
    images: Sequence[Record],
    regions: dict[int | str, list[Region]],
) -> CocoVideo:
    json_path, root = folder.json_path, folder.root
    size = (images[0]["height"], images[0]["width"])
    check_name(name, f"{json_path}, video {name[:40]!r}")
    check_pixels(*size, f"{json_path}, video {name}")
    for image in images:
        if (image["height"], image["width"]) != size:
            raise ValueError(
                f"{json_path}, video {name}: {image['file_name']} is {image['height']}x"
                f"{image['width']} (height x width) but {images[0]['file_name']} is {size[0]}x"
                f"{size[1]}; all frames of a video must have one size: split the video"
            )
    paths = [image_path(folder, image["file_name"]) for image in images]
    stems = [path.stem for path in paths]
    if len(set(stems)) < len(stems):
        stems = [str(path.relative_to(root).with_suffix("")) for path in paths]
    frame_regions = {
        index: regions[image["id"]] for index, image in enumerate(images) if image["id"] in regions
    }
    return CocoVideo(name, paths, stems, size, frame_regions, json_path)
