"""Tests of COCO files for video: identity, order, crowds, paths, bad records."""

import copy
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from sam2_video.data.coco import open_coco
from sam2_video.masks import encode_rle

SIZE = (8, 10)


def box(top: int, left: int, side: int = 3) -> dict:
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[top : top + side, left : left + side] = True
    return dict(encode_rle(mask))


def content() -> dict:
    """Return two videos; the images of the first are listed out of order."""
    images = [
        {"id": 10 * v + t, "file_name": f"v{v}/{t}.png", "video_id": v, "order_in_video": t}
        | {"height": SIZE[0], "width": SIZE[1]}
        for v, t in [(1, 2), (1, 0), (1, 1), (2, 0)]
    ]
    annotations = [
        {"id": 1, "image_id": 10, "category_id": 1, "track_id": 7, "segmentation": box(0, 0)},
        {"id": 2, "image_id": 10, "category_id": 1, "track_id": 5, "segmentation": box(1, 1)},
        {"id": 3, "image_id": 12, "category_id": 1, "track_id": 5, "segmentation": box(0, 4)},
        {"id": 4, "image_id": 12, "category_id": 2, "track_id": 5, "segmentation": box(4, 4)},
        {"id": 5, "image_id": 20, "category_id": 1, "track_id": 7, "segmentation": box(2, 2)},
    ]
    return {"images": images, "annotations": annotations}


def write(root: Path, data: dict) -> Path:
    for image in data.get("images", []):
        path = root / image["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((*SIZE, 3), image["id"], dtype=np.uint8))
    (root / "data.json").write_text(json.dumps(data))
    return root / "data.json"


def test_order_identity_and_absence(tmp_path):
    one, two = open_coco(write(tmp_path, content()))
    assert one.frame_names == ("0", "1", "2")
    assert [int(one.read_frame(i).max()) for i in range(3)] == [10, 11, 12]
    assert (one.object_ids, two.object_ids) == ((5, 7), (7,))
    assert [one.visible_objects(i) for i in range(3)] == [(5, 7), (), (5,)]
    assert one.labelled_frames == (0, 1, 2)
    assert one.read_masks(1, (5, 7)).sum() == 0


def test_objects_may_overlap_and_regions_of_one_object_are_joined(tmp_path):
    video = open_coco(write(tmp_path, content()))[0]
    assert video.read_masks(0, (5, 7)).flatten(1).sum(1).tolist() == [9, 9]
    assert video.read_masks(0, (7, 5))[:, 1, 1].tolist() == [1, 1]
    assert video.read_masks(2, (5,)).sum() == 18


def test_identity_falls_back_to_one_object_a_category(tmp_path, log):
    data = content()
    for annotation in data["annotations"]:
        del annotation["track_id"]
    video = open_coco(write(tmp_path, data))[0]
    assert [video.visible_objects(i) for i in range(3)] == [(1,), (), (1, 2)]
    assert "each category is one object" in log[0]


@pytest.mark.parametrize("key", ["instance_id", "object_id"])
def test_other_identity_keys_are_known(tmp_path, key):
    data = content()
    for annotation in data["annotations"]:
        annotation[key] = annotation.pop("track_id") + 1
    assert open_coco(write(tmp_path, data))[0].object_ids == (6, 8)


def test_crowd_is_ignored_for_every_object_except_on_its_own_pixels(tmp_path):
    data = content()
    crowd = {"id": 9, "image_id": 10, "category_id": 1, "iscrowd": 1, "segmentation": box(0, 0, 8)}
    data["annotations"].append(crowd)
    video = open_coco(write(tmp_path, data))[0]
    masks = video.read_masks(0, (5, 7))
    assert masks[:, 0, 0].tolist() == [255, 1]
    assert masks[:, 7, 7].tolist() == [255, 255]
    assert video.object_ids == (5, 7)


def test_videos_take_their_names_and_natural_order(tmp_path):
    data = content() | {"videos": [{"id": 1, "name": "b10"}, {"id": 2, "name": "b9"}]}
    assert [video.video_id for video in open_coco(write(tmp_path, data))] == ["b9", "b10"]


def test_images_may_lie_elsewhere(tmp_path):
    path = write(tmp_path, content())
    (tmp_path / "json").mkdir()
    moved = path.rename(tmp_path / "json" / "data.json")
    assert len(open_coco(moved, tmp_path)) == 2
    with pytest.raises(FileNotFoundError, match=rf"set dataset\.masks_path to {tmp_path} \(of"):
        open_coco(moved)


@pytest.mark.parametrize("name", ["../x.png", "/etc/x.png", "..\\x.png", "C:\\x.png", "out/x.png"])
def test_paths_never_leave_the_images_folder(tmp_path, name):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "x.png").write_bytes(b"x")
    (root / "out").symlink_to(tmp_path)
    data = content()
    path = write(root, data)
    data["images"][0]["file_name"] = name
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=r"data\.json: file_name .* leads out of"):
        open_coco(path)


def test_windows_separators_are_read(tmp_path):
    data = content()
    path = write(tmp_path, data)
    for image in data["images"]:
        image["file_name"] = image["file_name"].replace("/", "\\")
    path.write_text(json.dumps(data))
    assert open_coco(path)[0].frame_names == ("0", "1", "2")


def edit(place: str, index: int, key: str, value: object) -> dict:
    data = copy.deepcopy(content())
    if value is None:
        del data[place][index][key]
    else:
        data[place][index][key] = value
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            edit("images", 0, "video_id", None),
            r"image 12 \(v1/2\.png\): no `video_id`.*; .*add .*or",
        ),
        (edit("images", 0, "order_in_video", None), r"image 12 .*`order_in_video` is None"),
        (edit("images", 0, "order_in_video", 1), r"video 1: v1/[12]\.png and .* both have .* 1;"),
        (edit("images", 0, "id", 10), r"image 10 .*two images have this `id`"),
        (edit("images", 0, "width", "10"), r"image 12 .*`width` is '10', expected int"),
        (edit("images", 0, "width", 11), r"video 1: v1/2\.png is 8x11 .* split the video"),
        (edit("annotations", 0, "image_id", 99), r"annotation 1: `image_id` 99 is not among"),
        (edit("annotations", 0, "segmentation", []), r"annotation 1 \(v1/0\.png\): .*neither RLE"),
        (edit("annotations", 0, "track_id", None), r"annotation 1 .*`track_id` is None, expected"),
        (edit("annotations", 0, "track_id", "7"), r"annotation 1 .*`track_id` is '7', expected"),
        ({"images": [], "annotations": []}, r"`images` is empty"),
        ({"videos": []}, r"no COCO file: `images` and `annotations` are missing"),
    ],
)
def test_bad_records_are_one_line_with_file_and_way_out(tmp_path, data, message):
    with pytest.raises(ValueError, match=rf"data\.json.*{message}") as error:
        open_coco(write(tmp_path, data))
    assert "\n" not in str(error.value)
    assert ";" in str(error.value)


def test_missing_image_is_named(tmp_path):
    path = write(tmp_path, content())
    (tmp_path / "v1" / "0.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"'v1/0\.png' does not exist.*masks_path"):
        open_coco(path)


def test_image_of_another_size_than_listed_is_named(tmp_path):
    data = content()
    for image in data["images"]:
        image["height"] = 9
    video = open_coco(write(tmp_path, data))[0]
    with pytest.raises(ValueError, match=r"v1/0\.png: the frame is 8x10 .*expected 9x10"):
        video.read_frame(0)
    with pytest.raises(ValueError, match=r"annotation 1 \(v1/0\.png\): the RLE has size \[8, 10\]"):
        video.read_masks(0, (7,))


def test_broken_json_is_named(tmp_path):
    (tmp_path / "data.json").write_text("{")
    with pytest.raises(ValueError, match=r"data\.json: no valid JSON"):
        open_coco(tmp_path / "data.json")
