"""Tests of SA-V's training set: masklets and frames as they lie elsewhere, and broken files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sam2_video.data.layout import open_dataset
from sam2_video.data.masklets import AUTO_OFFSET
from sam2_video.data.sav import open_sav
from sam2_video.masks import encode_rle
from tests.data.numbered import HEIGHT, WIDTH, read_number, write_numbered

NUM_FRAMES = 9


def square(left: int, side: int = 10) -> dict:
    mask = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    mask[5 : 5 + side, left : left + side] = True
    return dict(encode_rle(mask))


def content(num_rows: int = 3) -> dict:
    """Masklets 0, always there, and 3, which comes on the second annotated frame."""
    rows = [[square(row), square(40 + row, 12 if row else 0)] for row in range(num_rows)]
    return {
        "video_frame_count": float(NUM_FRAMES),
        "video_height": float(HEIGHT),
        "video_width": float(WIDTH),
        "masklet_id": [0, 3],
        "masklet": rows,
    }


def write(folder: Path, name: str = "sav_1", manual=None, auto=None, *, has_video=True) -> Path:
    folder.mkdir(exist_ok=True)
    for ending, one in (("manual", manual), ("auto", auto)):
        if one is not None:
            (folder / f"{name}_{ending}.json").write_text(json.dumps(one))
    if has_video:
        write_numbered(folder / f"{name}.mp4", num_frames=NUM_FRAMES)
    return folder


def test_every_fourth_frame_is_annotated_and_the_others_say_nothing(tmp_path):
    (video,) = open_sav(write(tmp_path / "d", manual=content()))
    assert video.video_id == "sav_1"
    assert video.size == (HEIGHT, WIDTH)
    assert video.labelled_frames == (0, 4, 8)
    assert [video.is_labelled(i, 3) for i in (0, 1, 4)] == [True, False, True]
    assert not video.is_labelled(4, 1)
    assert [video.visible_objects(i) for i in (0, 3, 4)] == [(0,), (), (0, 3)]
    assert video.object_ids == video.declared_ids == (0, 3)
    masks = video.read_masks(4, (3, 0))
    assert masks.flatten(1).sum(1).tolist() == [144, 100]
    assert masks[0, 5, 41] == masks[1, 5, 1] == 1
    assert [read_number(video.read_frame(i)) for i in (8, 0, 3)] == [8, 0, 3]


def test_a_file_that_annotates_every_frame_is_told_by_its_length(tmp_path):
    (video,) = open_sav(write(tmp_path / "d", manual=content(NUM_FRAMES)))
    assert video.labelled_frames == tuple(range(NUM_FRAMES))
    assert video.read_masks(7, (0,))[0, 5, 7:17].all()


def test_automatic_masklets_are_numbered_apart_from_manual_ones(tmp_path):
    folder = write(tmp_path / "d", manual=content(), auto=content())
    (both,) = open_sav(folder)
    assert both.object_ids == (0, 3, AUTO_OFFSET, AUTO_OFFSET + 3)
    assert torch.equal(*both.read_masks(8, (3, AUTO_OFFSET + 3)))
    (folder / "sav_1_manual.json").unlink()
    (auto,) = open_sav(folder)
    assert auto.object_ids == (AUTO_OFFSET, AUTO_OFFSET + 3)


def test_frames_may_lie_in_folders_and_the_json_files_elsewhere(tmp_path):
    write(tmp_path / "json", manual=content(), has_video=False)
    frames = tmp_path / "d" / "JPEGImages_24fps" / "sav_1"
    frames.mkdir(parents=True)
    for i in range(NUM_FRAMES):
        Image.fromarray(np.full((HEIGHT, WIDTH, 3), i, np.uint8)).save(frames / f"{i}.png")
    (video,) = open_dataset(tmp_path / "d", tmp_path / "json", format="sav")
    assert video.read_frame(5).unique().tolist() == [5]
    (frames / "8.png").unlink()
    with pytest.raises(ValueError, match=r"sav_1: 8 frames, but sav_1_manual.json says 9; extract"):
        open_sav(tmp_path / "d", tmp_path / "json")


def test_one_file_or_the_folder_above_may_be_named(tmp_path, log):
    write(tmp_path / "sav_000", "sav_1", manual=content(), auto=content())
    write(tmp_path / "sav_000", "sav_2", manual=content())
    write_numbered(tmp_path / "sav_000" / "sav_3.mp4", num_frames=1)
    assert [video.video_id for video in open_sav(tmp_path)] == ["sav_1", "sav_2"]
    assert "not read: 1 entries (sav_3.mp4); expected a JSON file" in log[-1]
    for name in ("sav_1_manual.json", "sav_1_auto.json"):
        (video,) = open_dataset(tmp_path / "sav_000" / name)
        assert video.object_ids == (0, 3, AUTO_OFFSET, AUTO_OFFSET + 3)


def lack(key):
    return lambda one: one.pop(key)


BROKEN = {
    "no count": (lack("video_frame_count"), r"`video_frame_count` is None, expected a whole"),
    "half a frame": (lambda one: one.update(video_height=8.5), r"`video_height` is 8.5, expected"),
    "no lists": (lack("masklet"), r"no lists `masklet` and `masklet_id`; expected a file of SA-V"),
    "too few rows": (lambda one: one["masklet"].pop(), r"2 annotated frames for 9 .*: download"),
    "too many rows": (lambda one: one["masklet"].append([]), r"4 annotated frames for 9 frames"),
    "a mask too few": (lambda one: one["masklet"][1].pop(), r"frame 4: not one mask for each of 2"),
    "double names": (lambda one: one.update(masklet_id=[1, 1]), r"expected different numbers"),
    "names of text": (lambda one: one.update(masklet_id=["a", "b"]), r"expected different numbers"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_named_with_what_was_expected(tmp_path, kind):
    change, message = BROKEN[kind]
    broken = content()
    change(broken)
    folder = write(tmp_path / "d", manual=broken, has_video=False)
    with pytest.raises(ValueError, match=rf"sav_1_manual\.json.*{message}") as error:
        open_sav(folder)
    assert "\n" not in str(error.value)


def test_what_does_not_belong_together_is_refused(tmp_path):
    other = content() | {"video_width": 100}
    folder = write(tmp_path / "d", manual=content(), auto=other, has_video=False)
    with pytest.raises(
        ValueError, match=r"auto.json: 9 frames of 64x100 .* sav_1_manual.json says"
    ):
        open_sav(folder)
    (folder / "sav_1_auto.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"there is no sav_1.mp4 under .*; put the video"):
        open_sav(folder)
    problems = {}
    assert open_sav(folder, problems=problems) == []
    assert "there is no sav_1.mp4" in problems["sav_1"]
    (folder / "inner").mkdir()
    shutil.copy(folder / "sav_1_manual.json", folder / "inner")
    with pytest.raises(ValueError, match=r"two files of masklets of video sav_1; remove"):
        open_sav(folder)
    with pytest.raises(FileNotFoundError, match=r"no masklets here; expected NAME_manual.json"):
        open_sav(tmp_path / "d" / "nothing")


def test_a_video_of_another_length_or_size_is_refused_when_a_frame_is_asked_for(tmp_path):
    folder = write(tmp_path / "d", manual=content())
    write_numbered(folder / "sav_1.mp4", num_frames=7)
    (video,) = open_sav(folder)
    with pytest.raises(ValueError, match=r"sav_1.mp4: 7 frames of 64x96 .* of 9 frames of 64x96"):
        video.read_frame(0)
    write_numbered(folder / "sav_1.mp4", num_frames=NUM_FRAMES + 2)
    (longer,) = open_sav(folder)
    assert longer.num_frames == NUM_FRAMES
    assert read_number(longer.read_frame(8)) == 8


def test_a_damaged_or_foreign_mask_is_named_when_it_is_read(tmp_path):
    damaged = content()
    damaged["masklet"][1][0] = {"size": [HEIGHT, WIDTH], "counts": "0"}
    damaged["masklet"][2][1] = {"size": [8, 8], "counts": damaged["masklet"][2][1]["counts"]}
    (video,) = open_sav(write(tmp_path / "d", manual=damaged, has_video=True))
    with pytest.raises(
        ValueError, match=r"sav_1_manual.json, frame 4, object 0: the RLE is damaged"
    ):
        video.read_masks(4, (0,))
    with pytest.raises(ValueError, match=r"frame 8, object 3: the RLE has size \[8, 8\]"):
        video.read_masks(8, (3,))


def test_real_masklets_are_those_of_the_files_beside_them(shared_data):
    root = shared_data / "sav" / "davis_as_sav"
    videos = open_dataset(root)
    assert [video.video_id for video in videos] == [f"sav_90000{i}" for i in (1, 2, 3, 4)]
    truth = {video.video_id: video for video in open_dataset(root, format="objects")}
    for video in videos:
        other = truth[video.video_id]
        assert video.labelled_frames == other.labelled_frames
        assert video.labelled_frames == tuple(range(0, video.num_frames, 4))
        assert video.object_ids == other.object_ids == tuple(range(len(video.object_ids)))
        for index in video.labelled_frames[:: 1 if video.num_frames < 70 else 4]:
            assert video.visible_objects(index) == other.visible_objects(index)
            masks = video.read_masks(index, video.object_ids)
            assert torch.equal(masks, other.read_masks(index, video.object_ids))


def test_real_frames_are_those_of_the_files_beside_them(shared_data):
    root = shared_data / "sav" / "davis_as_sav"
    video = open_dataset(root)[2]
    other = open_dataset(root, format="objects")[2]
    stored = [other.read_frame(i).float() for i in range(other.num_frames)]
    for index in (0, 1, 33, 65, 17):
        frame = video.read_frame(index).float()
        # the files are JPEG: near, and nearer than any other frame
        errors = [float((frame - one).abs().mean()) for one in stored]
        assert errors.index(min(errors)) == index
        assert errors[index] < 4


def test_real_annotation_files_of_sav_are_read(shared_data, tmp_path):
    files = sorted((shared_data / "sav" / "original").glob("*.json"))
    for path in files:
        shutil.copy(path, tmp_path)
    (tmp_path / "sav_000001.mp4").touch()
    (video,) = open_dataset(tmp_path)
    assert (video.num_frames, video.size, len(video.labelled_frames)) == (483, (848, 480), 121)
    assert video.object_ids == (*range(5), *range(AUTO_OFFSET, AUTO_OFFSET + 9))
    absent = [sum(o not in video.visible_objects(i) for i in video.labelled_frames) for o in (0, 3)]
    assert absent == [1, 113]
    areas = video.read_masks(0, video.object_ids).flatten(1).sum(1).tolist()
    assert areas[0] > 0
    assert sum(areas) > int(video.read_masks(0, video.object_ids).any(0).sum())
