"""Predicted masks as COCO JSON for video, which the data layer reads back."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from sam2_video.data.footage import Footage
from sam2_video.files import whole
from sam2_video.inference.mask_files import file_name
from sam2_video.masks import rle_area, rle_box
from sam2_video.prediction.folder import FRAMES
from sam2_video.prediction.store import MaskStore

Record = dict[str, Any]
_VIDEO_ID = _CATEGORY_ID = 1


def write_coco(path: Path, footage: Footage, store: MaskStore) -> None:
    """Write all masks of a video, whole or not at all.

    Images are the frames on which something is tracked; an object without an annotation on one of
    them is absent. `file_name` of an image is relative to the folder of the frames where the video
    is one, else to the folder of the JSON file, into which the frames may be written.
    """
    height, width = footage.size
    video = {"id": _VIDEO_ID, "name": footage.name, "width": width, "height": height}
    head = {
        "videos": [video | {"length": len(footage.frames)}],
        "categories": [{"id": _CATEGORY_ID, "name": "object"}],
    }
    with whole(path) as part, part.open("w", encoding="utf-8") as file:
        file.write(json.dumps(head)[:-1])
        _write_list(file, "images", _images(footage, store))
        _write_list(file, "annotations", _annotations(store))
        file.write("}\n")


def image_file(footage: Footage, index: int) -> str:
    """Return the file name of a frame in the JSON file."""
    if footage.images is not None:
        return footage.images[index].name
    return f"{FRAMES}/{file_name(footage.name)}/{footage.frame_names[index]}.jpg"


def _write_list(file: TextIO, name: str, records: Iterable[Record]) -> None:
    """Write a list that may be too long for the memory, a record a line."""
    file.write(f', "{name}": [')
    for number, record in enumerate(records):
        file.write(",\n" if number else "\n")
        file.write(json.dumps(record))
    file.write("]")


def _images(footage: Footage, store: MaskStore) -> Iterator[Record]:
    height, width = footage.size
    for index in store.frames:
        yield {
            "id": index + 1,
            "file_name": image_file(footage, index),
            "width": width,
            "height": height,
            "video_id": _VIDEO_ID,
            "order_in_video": index,
        }


def _annotations(store: MaskStore) -> Iterator[Record]:
    number = 0
    for index in store.frames:
        for object_id, mask in store.read(index).items():
            area = rle_area(mask.rle)
            if not area:
                continue
            number += 1
            yield {
                "id": number,
                "image_id": index + 1,
                "video_id": _VIDEO_ID,
                "category_id": _CATEGORY_ID,
                "track_id": object_id,
                "segmentation": mask.rle,
                "area": area,
                "bbox": rle_box(mask.rle),
                "iscrowd": 0,
                "score": mask.score,
            }
