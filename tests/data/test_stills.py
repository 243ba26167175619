"""Tests of data of single images: folders, COCO files, what is left out, what is said."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from sam2_video.data.layout import open_dataset
from tests.data.conftest import make_mask


@pytest.fixture
def images(tmp_path):
    """Return a folder of images of two sizes, all but one with a mask."""
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for number, objects in enumerate([(1,), (1, 2), None, (3,)]):
        mask = make_mask(objects or ())
        mask = np.pad(mask, ((0, 8 * (number == 3)), (0, 0)))
        picture = np.full((*mask.shape, 3), number, dtype=np.uint8)
        cv2.imwrite(str(tmp_path / "images" / f"image_{number}.png"), picture)
        if objects is not None:
            Image.fromarray(mask).save(tmp_path / "masks" / f"image_{number}.png")
    return tmp_path


@pytest.mark.parametrize("form", ["above", "images", "named"])
def test_each_image_with_a_mask_is_a_video(images, log, form):
    masks = images / "masks" if form == "named" else None
    path = images if form == "above" else images / "images"
    videos = open_dataset(path, masks, "images")
    assert [video.video_id for video in videos] == ["image_0", "image_1", "image_3"]
    assert [video.num_frames for video in videos] == [1, 1, 1]
    assert [video.object_ids for video in videos] == [(1,), (1, 2), (3,)]
    assert [video.size[0] for video in videos] == [24, 24, 32]
    assert any("1 of 4 images have no mask: left out" in line for line in log)


def test_a_folder_without_masks_says_where_they_belong(images):
    (images / "masks").rename(images / "labels")
    with pytest.raises(FileNotFoundError, match=r"no masks.*dataset\.masks_path"):
        open_dataset(images, None, "images")
    problems = {}
    assert not open_dataset(images, None, "images", problems=problems)
    assert list(problems) == ["images"]


def write_coco(folder, identity):
    box = [[2, 2, 8, 2, 8, 8, 2, 8]]
    annotations = [
        {"id": number, "image_id": image, "category_id": 1, "segmentation": box} | identity(number)
        for number, image in enumerate([0, 0, 1])
    ]
    names = ["images/image_0.png", "images\\image_1.png"]
    records = [
        {"id": number, "file_name": name, "width": 32, "height": 24}
        for number, name in enumerate(names)
    ]
    path = folder / "coco.json"
    path.write_text(json.dumps({"images": records, "annotations": annotations}))
    return path


def test_images_of_a_coco_file_need_no_video_and_each_annotation_is_an_object(images):
    path = write_coco(images, lambda number: {})
    videos = open_dataset(path, None, "images")
    assert [video.video_id for video in videos] == ["image_0", "image_1"]
    assert [video.object_ids for video in videos] == [(1, 2), (1,)]
    assert [v.video_id for v in open_dataset(images, None, "images")] == ["image_0", "image_1"]
    with pytest.raises(ValueError, match=r"no `video_id`.*set dataset\.format: images"):
        open_dataset(path)


def test_objects_of_a_coco_image_keep_the_identity_that_they_have(images):
    videos = open_dataset(write_coco(images, lambda n: {"instance_id": 7}), None, "images")
    assert [video.object_ids for video in videos] == [(7,), (7,)]


def test_images_of_one_name_in_two_folders_are_told_apart(images):
    path = write_coco(images, lambda number: {})
    (images / "more").mkdir()
    (images / "images" / "image_1.png").rename(images / "more" / "image_0.png")
    path.write_text(path.read_text().replace("images\\\\image_1", "more/image_0"))
    videos = open_dataset(path, None, "images")
    assert [video.video_id for video in videos] == ["images/image_0", "more/image_0"]
