"""Tests of video directories: both places of masks, the three meanings, bad input."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sam2_video.data.directory import open_video_directory
from tests.data.conftest import HEIGHT, WIDTH, make_mask, write_video

ROWS = [(1,), None, (), (2, 1), (255,)]


def test_both_places_of_masks_give_the_same_video(tmp_path, video_directory):
    beside = open_video_directory(video_directory(a=ROWS))[0]
    write_video(tmp_path / "frames" / "a", tmp_path / "trees" / "a", ROWS)
    parallel = open_video_directory(tmp_path / "frames", tmp_path / "trees")[0]
    single = open_video_directory(tmp_path / "frames" / "a", tmp_path / "trees")[0]
    bare = open_video_directory(tmp_path / "frames" / "a", tmp_path / "trees" / "a")[0]
    for video in (beside, parallel, single, bare):
        assert video.video_id == "a"
        assert video.frame_names == tuple(f"frame_{i}" for i in range(5))
        assert video.size == (HEIGHT, WIDTH)
        assert video.object_ids == (1, 2)
        assert video.read_frame(3).unique().tolist() == [3]
        assert torch.equal(video.read_masks(3, (1, 2)), beside.read_masks(3, (1, 2)))


def test_unlabelled_absent_and_ignore_stay_apart(video_directory):
    video = open_video_directory(video_directory(a=ROWS))[0]
    assert [video.is_labelled(i) for i in range(5)] == [True, False, True, True, True]
    assert [video.visible_objects(i) for i in range(5)] == [(1,), (), (), (1, 2), ()]
    assert (video.first_appearance(1), video.first_appearance(2)) == (0, 3)
    assert video.read_masks(0, (1, 2)).flatten(1).sum(1).tolist() == [18, 0]
    assert video.read_masks(4, (1, 2)).unique().tolist() == [0, 255]
    with pytest.raises(ValueError, match="video a, frame frame_1: no annotation"):
        video.read_masks(1, (1,))
    with pytest.raises(ValueError, match=r"video a: object 9 is not visible.*\[1, 2\]"):
        video.first_appearance(9)


def test_masks_are_read_only_when_asked_for(video_directory, monkeypatch):
    read = []
    original = Image.open

    def opened(path, **how):
        read.append(str(path))
        return original(path, **how)

    monkeypatch.setattr(Image, "open", opened)
    video = open_video_directory(video_directory(a=ROWS))[0]
    assert not read
    assert video.has_objects
    assert sum("/masks/" in path for path in read) == 1


def test_videos_come_in_natural_order(video_directory):
    root = video_directory(v10=[(1,)], v9=[(1,)])
    assert [video.video_id for video in open_video_directory(root)] == ["v9", "v10"]


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def shorten(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])


def save(array: np.ndarray, path: Path) -> None:
    Image.fromarray(array).save(path)


def rename_all(folder: Path) -> None:
    for path in list(folder.iterdir()):
        path.rename(folder / f"mask_{path.name}")


BREAK = {
    "no masks folder": lambda a: shutil.rmtree(a / "masks"),
    "empty masks folder": lambda a: empty(a / "masks"),
    "other names": lambda a: rename_all(a / "masks"),
    "size": lambda a: save(make_mask([1])[:-1], a / "masks/frame_0.png"),
    "16 bits": lambda a: save(make_mask([1]).astype(np.uint16), a / "masks/frame_0.png"),
    "rgb": lambda a: save(np.dstack([make_mask([1])] * 3), a / "masks/frame_0.png"),
    "truncated mask": lambda a: shorten(a / "masks/frame_0.png", 50),
    "truncated frame": lambda a: shorten(a / "frame_0.png", 20),
    "jpeg mask": lambda a: save(make_mask([1]), a / "masks/frame_1.jpg"),
    "frame size": lambda a: save(np.zeros((25, 32, 3), np.uint8), a / "frame_3.png"),
    "no frames": lambda a: (shutil.rmtree(a), a.mkdir()),
    "no videos": shutil.rmtree,
}


def read_everything(root: Path) -> None:
    for video in open_video_directory(root):
        for i in video.labelled_frames:
            video.read_frame(i)
            video.read_masks(i, video.object_ids)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("no masks folder", r"data/a: no masks: .*masks does not exist; put .*masks_path"),
        ("empty masks folder", r"a/masks: no masks in this folder \(found nothing\)"),
        ("other names", r"a: no masks: none of 4 .*frame_0\.png, mask mask_frame_0\.png\); rename"),
        ("size", r"a/masks/frame_0\.png: the mask is 23x32 .*its frame is 24x32; export"),
        ("16 bits", r"a/masks/frame_0\.png: .*I;16.*; save it as 8-bit PNG"),
        ("rgb", r"a/masks/frame_0\.png: .*RGB picture.*; save it as .*colour_palette"),
        ("truncated mask", r"a/masks/frame_0\.png: the mask cannot be read"),
        ("truncated frame", r"a/frame_0\.png: the image cannot be read .*; copy"),
        ("jpeg mask", r"a/masks/frame_1\.jpg: a JPEG mask .*; export the masks as PNG"),
        ("frame size", r"a/frame_3\.png: the frame is 25x32 .*expected 24x32"),
        ("no frames", r"data/a: no images in this folder \(found nothing\); expected files"),
        ("no videos", r"data: no videos in this folder; expected"),
    ],
)
def test_bad_input_is_one_line_with_file_and_way_out(video_directory, kind, message):
    root = video_directory(a=ROWS)
    BREAK[kind](root / "a")
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        read_everything(root)
    assert "\n" not in str(error.value)


def test_masks_without_a_frame_are_named(video_directory, log):
    root = video_directory(a=ROWS)
    (root / "a" / "frame_0.png").unlink()
    open_video_directory(root)
    assert re.search(r"a/masks: not read: 1 entries \(frame_0\.png\)", log[0])


def test_files_beside_the_videos_are_named(video_directory, log):
    root = video_directory(a=ROWS)
    (root / "clip.mp4").write_text("x")
    open_video_directory(root)
    assert "clip.mp4" in log[0]


def test_missing_masks_path_is_named(tmp_path, video_directory):
    with pytest.raises(FileNotFoundError, match=r"nowhere: dataset\.masks_path is no folder"):
        open_video_directory(video_directory(a=ROWS), tmp_path / "nowhere")


def test_masks_tree_inside_the_data_is_no_video(tmp_path):
    write_video(tmp_path / "a", tmp_path / "all_masks" / "a", ROWS)
    videos = open_video_directory(tmp_path, tmp_path / "all_masks")
    assert [video.video_id for video in videos] == ["a"]
