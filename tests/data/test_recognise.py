"""Tests of what a data set is recognised as: why, how sure, and what is refused."""

import json

import numpy as np
import pytest
from PIL import Image

from sam2_video.data.recognise import recognise_layout
from tests.data import test_coco, test_sav
from tests.data.conftest import make_mask, write_video
from tests.data.numbered import write_numbered


def add_davis(root):
    write_video(root / "JPEGImages" / "a", root / "Annotations" / "a", [(1,)])


def add_objects(root):
    write_video(root / "JPEGImages" / "a", root / "Annotations" / "a" / "001", [(1,)])


def add_sav_val(root):
    write_video(root / "JPEGImages_24fps" / "a", root / "Annotations_6fps" / "a" / "000", [(1,)])


def add_sav(root):
    (root / "a_manual.json").write_text(json.dumps(test_sav.content()))


def add_nested_sav(root):
    (root / "sav_000").mkdir()
    (root / "sav_000" / "a_auto.json").write_text(json.dumps(test_sav.content()))


def add_coco(root):
    test_coco.write(root, test_coco.content())


def add_directory(root):
    write_video(root / "a", root / "a" / "masks", [(1,)])


def add_single(root):
    write_video(root, root / "masks", [(1,)])


def add_video_file(root):
    write_numbered(root / "phone.mp4", num_frames=1)
    (root / "masks").mkdir()
    Image.fromarray(make_mask([1])).save(root / "masks" / "00000.png")


@pytest.mark.parametrize(
    ("add", "name", "reason", "sureness"),
    [
        (add_davis, "davis", "there is a folder JPEGImages", "certain"),
        (add_objects, "objects", "masks in a folder for each object", "certain"),
        (add_sav_val, "objects", "masks in a folder for each object", "certain"),
        (add_sav, "sav", "named like SA-V's, *_manual.json", "certain"),
        (add_nested_sav, "sav", "named like SA-V's, *_manual.json", "certain"),
        (add_coco, "coco", "the folder holds the COCO file data.json", "certain"),
        (add_directory, "video_directory", "folders of frames", "likely"),
        (add_single, "video_directory", "the folder holds frames", "likely"),
        (add_video_file, "video_directory", "the folder holds video files", "likely"),
    ],
)
def test_a_layout_is_recognised_with_its_reason_and_how_sure_that_is(
    tmp_path, add, name, reason, sureness
):
    add(tmp_path)
    layout = recognise_layout(tmp_path)
    assert (layout.name, layout.sureness) == (name, sureness)
    assert reason in layout.reason
    assert layout.path == (tmp_path / "data.json" if name == "coco" else tmp_path)


def test_of_two_layouts_the_clearer_is_taken_and_the_other_named(tmp_path):
    add_sav(tmp_path)
    add_davis(tmp_path)
    layout = recognise_layout(tmp_path)
    assert (layout.name, layout.sureness) == ("sav", "likely")
    assert "there are JPEGImages too, which dataset.format: objects or davis reads" in layout.reason


def test_a_file_is_told_by_its_name(tmp_path):
    add_sav(tmp_path)
    layout = recognise_layout(tmp_path / "a_manual.json")
    assert (layout.name, layout.sureness) == ("sav", "certain")


def test_anything_else_is_refused_with_what_was_looked_for_and_found(tmp_path):
    with pytest.raises(ValueError, match=r"no layout is recognised: .* and found nothing; correct"):
        recognise_layout(tmp_path)
    for name in ("a.txt", "b.txt", "c.pdf"):
        (tmp_path / name).touch()
    (tmp_path / "notes").mkdir()
    with pytest.raises(ValueError, match=r"looked for JPEGImages \(DAVIS\)") as error:
        recognise_layout(tmp_path)
    found = "found 1 folders (notes) and 3 files (2 .txt, 1 .pdf); correct dataset.data_path, or na"
    assert found in str(error.value)


@pytest.mark.parametrize(
    ("add", "name"), [(add_davis, "davis"), (add_coco, "coco"), (add_directory, "video_directory")]
)
def test_the_nearest_layout_below_is_named(tmp_path, add, name):
    inner = tmp_path / "unpacked" / "data"
    inner.mkdir(parents=True)
    add(inner)
    with pytest.raises(ValueError, match=rf"data is of the layout {name}: point dataset.data_path"):
        recognise_layout(tmp_path)


def test_a_folder_that_labelme_has_written_is_told_its_converter(tmp_path):
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "a.json").write_text(json.dumps({"shapes": [], "imagePath": "a.png"}))
    with pytest.raises(ValueError, match=r"a.json: a file of Labelme; convert the folder by label"):
        recognise_layout(tmp_path)


@pytest.mark.parametrize("add", [add_davis, add_objects, add_coco, add_directory])
def test_the_parts_of_a_data_set_are_named(tmp_path, add):
    for part in ("train", "valid", "other"):
        (tmp_path / part).mkdir()
        add(tmp_path / part)
    (tmp_path / "test").mkdir()
    with pytest.raises(ValueError, match=r"holds the parts train, valid of a data set; point") as e:
        recognise_layout(tmp_path)
    assert f"such as {tmp_path / 'train'}, and dataset.val_path" in str(e.value)
    assert "\n" not in str(e.value)


def test_a_part_without_masks_does_not_hide_the_others(tmp_path):
    add_davis(tmp_path / "train")
    frames = tmp_path / "test" / "JPEGImages" / "a"
    frames.mkdir(parents=True)
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(frames / "0.png")
    with pytest.raises(ValueError, match=r"holds the parts train, test of a data set; point"):
        recognise_layout(tmp_path)


def test_several_resolutions_are_named(tmp_path):
    for level in ("480p", "Full-Resolution"):
        write_video(tmp_path / "JPEGImages" / level / "a", tmp_path / "Annotations" / level, [(1,)])
    with pytest.raises(ValueError, match=r"several resolutions \(480p, Full-Resolution\); point"):
        recognise_layout(tmp_path)
