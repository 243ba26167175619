"""Tests of masks in a folder for each object: overlap, object 0, frames of which little is said."""

import numpy as np
import pytest
import torch
from PIL import Image

from sam2_video.data.layout import open_dataset
from sam2_video.data.mask_folder import open_masks
from tests.data.conftest import HEIGHT, WIDTH

FRAMES = 4


def mask(left: int, value: int = 255) -> np.ndarray:
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    drawn[4:10, left : left + 6] = value
    return drawn


def write(root, objects):
    """Write a tree of a video `a`: of each object's folder, a mask by frame."""
    frames = root / "JPEGImages" / "a"
    frames.mkdir(parents=True)
    for i in range(FRAMES):
        Image.fromarray(np.full((HEIGHT, WIDTH, 3), i, np.uint8)).save(frames / f"{i:05d}.png")
    for name, masks in objects.items():
        folder = root / "Annotations" / "a" / name
        folder.mkdir(parents=True)
        for i, values in masks.items():
            Image.fromarray(values).save(folder / f"{i:05d}.png")
    return root


@pytest.fixture
def tree(tmp_path):
    return write(
        tmp_path / "d",
        {"000": {0: mask(2), 2: mask(2)}, "010": {0: mask(5, 1), 2: mask(0, 0), 3: mask(9, 7)}},
    )


def test_objects_may_overlap_and_may_be_called_0(tree):
    (video,) = open_dataset(tree)
    assert video.object_ids == video.declared_ids == (0, 10)
    masks = video.read_masks(0, (10, 0))
    assert masks.unique().tolist() == [0, 1]
    assert masks.flatten(1).sum(1).tolist() == [36, 36]
    assert int((masks[0] & masks[1]).sum()) == 18
    assert video.visible_areas(0) == {0: 36, 10: 36}
    assert not video.object_names


def test_a_frame_says_nothing_of_an_object_that_has_no_file_there(tree):
    (video,) = open_dataset(tree)
    assert video.labelled_frames == (0, 2, 3)
    said = {name: [video.is_labelled(i, name) for i in range(FRAMES)] for name in (0, 10, 5)}
    assert said == {
        0: [True, False, True, False],
        10: [True, False, True, True],
        5: [False] * FRAMES,
    }
    assert [video.visible_objects(i) for i in range(FRAMES)] == [(0, 10), (), (0,), (10,)]
    assert video.read_masks(3, (0, 10)).flatten(1).sum(1).tolist() == [0, 36]
    with pytest.raises(ValueError, match="video a, frame 00001: no annotation"):
        video.read_masks(1, (0,))


def test_folders_that_are_no_numbers_are_numbered_from_1_on_and_keep_their_names(tmp_path):
    objects = {"dog": {0: mask(2)}, "7": {0: mask(9)}, "cat10": {0: mask(5)}, "cat9": {1: mask(5)}}
    (video,) = open_dataset(write(tmp_path, objects))
    assert video.object_ids == (1, 2, 3, 4)
    assert video.object_names == {1: "7", 2: "cat9", 3: "cat10", 4: "dog"}
    assert video.read_masks(0, (1,))[0, 4, 9] == 1


def test_several_values_in_a_file_of_one_object_are_refused(tmp_path):
    both = np.maximum(mask(2, 1), mask(12, 2))
    (video,) = open_dataset(write(tmp_path, {"1": {0: both}}))
    with pytest.raises(
        ValueError, match=r"1/00000.png: several values .*; expected 0 and one"
    ) as e:
        video.visible_objects(0)
    assert "\n" not in str(e.value)


def test_a_folder_for_each_object_is_read_in_a_video_directory_too(tmp_path, tree):
    root = tmp_path / "videos"
    root.mkdir()
    (tree / "JPEGImages" / "a").rename(root / "a")
    (video,) = open_dataset(root, tree / "Annotations")
    assert video.object_ids == (0, 10)
    masks = video.read_masks(0, (0, 10))
    (tree / "Annotations" / "a").rename(root / "a" / "masks")
    (beside,) = open_dataset(root, format="objects")
    assert torch.equal(masks, beside.read_masks(0, (0, 10)))


def test_folders_that_cannot_be_told_apart_are_refused(tree):
    masks = tree / "Annotations" / "a"
    Image.fromarray(mask(1)).save(masks / "00000.png")
    with pytest.raises(ValueError, match=r"a: both mask files and folders \(000, ...\); expected"):
        open_masks(masks)
    (masks / "00000.png").unlink()
    (masks / "0").mkdir()
    Image.fromarray(mask(1)).save(masks / "0" / "00000.png")
    with pytest.raises(ValueError, match=r"the folders 0+ and 0+ are one object by number; rename"):
        open_masks(masks)


def test_frames_that_have_a_file_come_in_natural_order(tree):
    masks = open_masks(tree / "Annotations" / "a")
    assert list(masks.by_frame) == ["00000", "00002", "00003"]
    assert [masks.name_of(key) for key in masks.objects] == ["000", "010"]
    assert masks.name_of(99) == "99"


def test_a_file_beside_the_objects_folders_is_named(tree, log):
    (tree / "Annotations" / "a" / "notes.txt").touch()
    open_masks(tree / "Annotations" / "a")
    assert "a: not read: 1 entries (notes.txt)" in log[-1]
