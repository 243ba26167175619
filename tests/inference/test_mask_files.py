"""Masks as written: palette PNG whose values are labels, in two layouts."""

import numpy as np
import pytest
import torch
from PIL import Image

from sam2_video.colours import mask_palette, object_colour
from sam2_video.inference import FrameMasks, MaskWriter, write_mask
from sam2_video.inference.mask_files import file_name
from tests.made_up import HEIGHT, WIDTH, rectangle, tracked_frame


def logits(top, left):
    return rectangle(top, left).float() * 20 - 10


@pytest.fixture
def frame():
    return tracked_frame(0, {3: logits(2, 4), 200: logits(8, 10)})


def read(path, rows):
    with Image.open(path) as image:
        assert image.mode == "P"
        assert image.getpalette() == mask_palette(rows)
        return np.array(image)


def test_objects_have_the_colours_of_the_pictures(tmp_path):
    labels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    write_mask(tmp_path / "x.png", labels, mask_palette({3: 0, 200: 1}))
    assert np.array_equal(read(tmp_path / "x.png", {3: 0, 200: 1}), labels)
    with Image.open(tmp_path / "x.png") as image:
        colours = np.array(image.convert("RGB")).reshape(256, 3)
    assert tuple(colours[3]) == object_colour(0)
    assert tuple(colours[200]) == object_colour(1)
    assert (colours[0].max(), colours[255].min()) == (0, 255)


def test_a_label_map_has_one_object_a_pixel(frame, tmp_path):
    writer = MaskWriter(tmp_path, "clip", ["a", "b"], [3, 200], "davis")
    writer.write(1, FrameMasks(frame, "davis"))
    found = read(tmp_path / "clip/b.png", {3: 0, 200: 1})
    first, second = rectangle(2, 4).bool().numpy(), rectangle(8, 10).bool().numpy()
    assert np.array_equal(found == 3, first)
    assert np.array_equal(found == 200, second & ~first)
    assert [path.name for path in (tmp_path / "clip").iterdir()] == ["b.png"]


def test_objects_apart_have_a_file_on_every_frame(frame, tmp_path):
    writer = MaskWriter(tmp_path, "clip", ["a", "b"], [3, 200, 1007], "objects")
    writer.write(0, FrameMasks(frame, "objects"))
    assert np.array_equal(read(tmp_path / "clip/3/a.png", {1: 0}), rectangle(2, 4).numpy())
    assert np.array_equal(read(tmp_path / "clip/200/a.png", {1: 1}), rectangle(8, 10).numpy())
    assert np.array_equal(read(tmp_path / "clip/1007/a.png", {1: 2}), np.zeros((HEIGHT, WIDTH)))


def test_what_an_unfinished_writing_left_is_removed(tmp_path):
    (tmp_path / "clip/3").mkdir(parents=True)
    (tmp_path / "clip/3/old.png").touch()
    (tmp_path / "other").mkdir()
    MaskWriter(tmp_path, "clip", ["a"], [3], "objects")
    assert list((tmp_path / "clip/3").iterdir()) == []
    assert (tmp_path / "other").is_dir()


@pytest.mark.parametrize("name", [0, 255, 1007])
def test_an_object_that_is_no_label_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=rf"object {name} cannot be a label.*--layout objects"):
        MaskWriter(tmp_path, "clip", ["a"], [3, name], "davis")
    assert not (tmp_path / "clip").exists()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("video_1", "video_1"),
        ("a/b", "a_b"),
        ("/etc/x", "etc_x"),
        ("..", "_"),
        ("../x", "x"),
        ("a\\b", "a_b"),
        ("C:\\b", "C__b"),
        (".hidden", ".hidden"),
    ],
)
def test_no_name_leads_out_of_the_folder(name, expected, tmp_path):
    assert file_name(name) == expected
    assert (tmp_path / file_name(name)).parent == tmp_path


def test_masks_come_to_the_cpu_at_the_frames_size(frame):
    assert FrameMasks(frame, "objects").of(3).shape == (HEIGHT, WIDTH)
    assert FrameMasks(frame, "davis").labels.dtype == torch.int32
