"""Open a COCO JSON file for video: images with a video and an order, annotations with identity."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path, PureWindowsPath
from typing import Any

from loguru import logger

from sam2_video.data.coco_video import CocoVideo, Region
from sam2_video.data.frames import IMAGE_SUFFIXES, natural_key
from sam2_video.data.video import Problems
from sam2_video.masks import check_segmentation

Record = dict[str, Any]
IDENTITY_KEYS = ("track_id", "instance_id", "object_id")


def is_coco(path: Path) -> bool:
    """Say whether a JSON file holds `images` and `annotations`."""
    content = read_json(path)
    return isinstance(content, dict) and {"images", "annotations"} <= content.keys()


def open_coco(
    json_path: Path, images_path: Path | None = None, problems: Problems | None = None
) -> list[CocoVideo]:
    """Open the videos of a COCO file in the natural order of their names.

    A video's name is the one in `videos`, else its `video_id`. Objects are told apart by the first
    of `track_id`, `instance_id` and `object_id` that the file has; without, by category.

    Args:
        json_path: The file.
        images_path: What `file_name` is relative to; the file's own folder where not given.
        problems: Takes the videos whose images are not as they should be; without, an error.

    Raises:
        ValueError: A record is incomplete, contradicts another, or leaves the images' folder.
        FileNotFoundError: An image is not there.
    """
    content = _load_coco(json_path)
    root = images_path or json_path.parent
    by_video = _group_images(json_path, content["images"])
    key = _identity_key(json_path, content["annotations"]) or "category_id"
    regions = _group_regions(json_path, content["annotations"], content["images"], key)
    names = {video.get("id"): video.get("name") for video in content.get("videos", [])}
    videos = []
    for video_id, images in by_video.items():
        name = str(names.get(video_id) or video_id)
        try:
            videos.append(_open_video(json_path, root, name, images, regions))
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
    json_path: Path, images_path: Path | None = None, problems: Problems | None = None
) -> list[CocoVideo]:
    """Open each image of a COCO file as a video of one frame, named like the image.

    Objects are told apart as in videos; where the file does not say, each annotation is one.
    The arguments and errors are those of `open_coco`.
    """
    content = _load_coco(json_path)
    root = images_path or json_path.parent
    images = content["images"]
    for image in images:
        _check_image(image, _where(json_path, image), is_in_video=False)
    _check_ids(json_path, images)
    key = _identity_key(json_path, content["annotations"])
    regions = _group_regions(json_path, content["annotations"], images, key)
    names = [PureWindowsPath(image["file_name"]).with_suffix("") for image in images]
    are_unique = len({name.name for name in names}) == len(names)
    videos = []
    for image, path in zip(images, names, strict=True):
        name = path.name if are_unique else path.as_posix()
        try:
            videos.append(_open_video(json_path, root, name, [image], regions))
        except (OSError, ValueError) as error:
            if problems is None:
                raise
            problems[name] = str(error)
    return sorted(videos, key=lambda video: natural_key(video.video_id))


def _load_coco(json_path: Path) -> dict[str, Any]:
    content = read_json(json_path)
    if not isinstance(content, dict) or not {"images", "annotations"} <= content.keys():
        raise ValueError(
            f"{json_path}: no COCO file: `images` and `annotations` are missing; export as COCO "
            "with masks, or point dataset.data_path to folders of frames"
        )
    if not content["images"]:
        raise ValueError(f"{json_path}: `images` is empty; export at least one video")
    return content


def _where(json_path: Path, image: Record) -> str:
    return f"{json_path}, image {image.get('id')} ({image.get('file_name')})"


def _check_ids(json_path: Path, images: Sequence[Record]) -> None:
    ids = set()
    for image in images:
        if image["id"] in ids:
            raise ValueError(
                f"{_where(json_path, image)}: two images have this `id`; give each its own"
            )
        ids.add(image["id"])


def read_json(json_path: Path) -> object:
    """Return what a JSON file holds.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return json.loads(json_path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{json_path}: no valid JSON ({error}); export the file again") from error


def _check_field(record: Record, key: str, kinds: type | tuple[type, ...], where: str) -> None:
    """Refuse a record without a field, or with one of another kind."""
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, kinds):
        kind = kinds.__name__ if isinstance(kinds, type) else "int or str"
        raise ValueError(f"{where}: `{key}` is {value!r}, expected {kind}; correct the JSON")


def _group_images(json_path: Path, images: Sequence[Record]) -> dict[int | str, list[Record]]:
    """Return the images of each video in order, every field checked."""
    by_video: dict[int | str, list[Record]] = defaultdict(list)
    for image in images:
        _check_image(image, _where(json_path, image), is_in_video=True)
        by_video[image["video_id"]].append(image)
    _check_ids(json_path, images)
    for video_id, members in by_video.items():
        members.sort(key=lambda image: image["order_in_video"])
        for one, two in pairwise(members):
            if one["order_in_video"] == two["order_in_video"]:
                raise ValueError(
                    f"{json_path}, video {video_id}: {one['file_name']} and {two['file_name']} "
                    f"both have `order_in_video` {one['order_in_video']}; number frames uniquely"
                )
    return dict(by_video)


def _check_image(image: Record, where: str, *, is_in_video: bool) -> None:
    if is_in_video and image.get("video_id") is None:
        raise ValueError(
            f"{where}: no `video_id`, so its video is unknown; add `video_id` and "
            "`order_in_video` to every image, or point dataset.data_path to folders of frames; "
            "where each image stands by itself, set dataset.format: images"
        )
    for key in ("id", *(["video_id"] if is_in_video else [])):
        _check_field(image, key, (int, str), where)
    for key in ("width", "height", *(["order_in_video"] if is_in_video else [])):
        _check_field(image, key, int, where)
    _check_field(image, "file_name", str, where)


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
        if image_id not in names:
            raise ValueError(
                f"{where}: `image_id` {image_id!r} is not among `images`; add the image, or remove "
                "the annotation"
            )
        where += f" ({names[image_id]})"
        check_segmentation(annotation.get("segmentation"), where)
        object_id = None
        if not annotation.get("iscrowd", 0):
            object_id = len(regions[image_id]) + 1
            if key is not None:
                _check_field(annotation, key, int, where)
                object_id = annotation[key]
        regions[image_id].append(Region(object_id, annotation["segmentation"], where))
    return dict(regions)


def _identity_key(json_path: Path, annotations: Sequence[Record]) -> str | None:
    """Return the field that tells objects apart: one for the whole file, so that ids never mix."""
    for key in IDENTITY_KEYS:
        if any(annotation.get(key) is not None for annotation in annotations):
            return key
    logger.info(
        f"{json_path}: annotations have none of {', '.join(IDENTITY_KEYS)}: each category is one "
        "object of its video, or with dataset.format: images each annotation"
    )
    return None


def _open_video(
    json_path: Path,
    root: Path,
    name: str,
    images: Sequence[Record],
    regions: dict[int | str, list[Region]],
) -> CocoVideo:
    size = (images[0]["height"], images[0]["width"])
    for image in images:
        if (image["height"], image["width"]) != size:
            raise ValueError(
                f"{json_path}, video {name}: {image['file_name']} is {image['height']}x"
                f"{image['width']} (height x width) but {images[0]['file_name']} is {size[0]}x"
                f"{size[1]}; all frames of a video must have one size: split the video"
            )
    paths = [image_path(json_path, root, image["file_name"]) for image in images]
    stems = [path.stem for path in paths]
    if len(set(stems)) < len(stems):
        stems = [str(path.relative_to(root).with_suffix("")) for path in paths]
    frame_regions = {
        index: regions[image["id"]] for index, image in enumerate(images) if image["id"] in regions
    }
    return CocoVideo(name, paths, stems, size, frame_regions, json_path)


def image_path(json_path: Path, root: Path, file_name: str) -> Path:
    """Return the path of an image, which must exist and must not leave the images' folder."""
    # The Windows reading of a path takes both kinds of slashes, and knows drives.
    pure = PureWindowsPath(file_name)
    path = root.joinpath(*pure.parts)
    outside = bool(pure.drive or pure.root) or ".." in pure.parts
    if outside or not path.resolve().is_relative_to(root.resolve()):
        raise ValueError(
            f"{json_path}: file_name {file_name!r} leads out of {root}; use paths relative to the "
            "images' folder, and name that folder in dataset.masks_path"
        )
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise ValueError(
            f"{json_path}: {file_name!r} is no image file of {', '.join(IMAGE_SUFFIXES)}; "
            "convert the frames"
        )
    if not path.is_file():
        nearby = (root.parent, root / "images", root.parent / "images")
        found = [folder for folder in nearby if folder.joinpath(*pure.parts).is_file()]
        hint = f"it is there under {found[0]}: set" if found else "name the images' folder in"
        value = f"dataset.masks_path to {found[0]}" if found else "dataset.masks_path"
        raise FileNotFoundError(
            f"{json_path}: image {file_name!r} does not exist in {root}; {hint} {value} (of "
            "dataset.val_path: dataset.val_masks_path)"
        )
    return path
