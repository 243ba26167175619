"""Tests of recognising a layout, saying why, and opening it."""

import json

import pytest

from sam2_video.data.layout import open_dataset, recognise_layout
from tests.data.conftest import write_video
from tests.data.test_coco import content, write


def test_layouts_are_recognised_with_a_reason(tmp_path, video_directory):
    directory = video_directory(a=[(1,)])
    write_video(tmp_path / "d" / "JPEGImages" / "a", tmp_path / "d" / "Annotations" / "a", [(1,)])
    (tmp_path / "c").mkdir()
    coco = write(tmp_path / "c", content())
    layouts = {
        directory: ("video_directory", "folders of frames"),
        directory / "a": ("video_directory", "holds frames"),
        tmp_path / "d": ("davis", "JPEGImages"),
        tmp_path / "d" / "JPEGImages" / "a": ("davis", "JPEGImages"),
        coco: ("coco", "JSON file"),
        coco.parent: ("coco", "data.json"),
    }
    for path, (name, reason) in layouts.items():
        layout = recognise_layout(path)
        assert layout.name == name
        assert reason in layout.reason
        assert open_dataset(path)


def test_other_json_files_do_not_make_a_coco_folder(video_directory):
    root = video_directory(a=[(1,)])
    (root / "manifest.json").write_text(json.dumps({"videos": 1}))
    assert recognise_layout(root).name == "video_directory"


def test_the_layout_is_logged(video_directory, log):
    open_dataset(video_directory(a=[(1,), (1,)], b=[(1,)]))
    assert "layout video_directory (likely: folders of frames): 2 videos, 3 frames" in log[-1]


def test_a_given_format_wins(tmp_path):
    write_video(tmp_path / "JPEGImages" / "a", tmp_path / "Annotations" / "a", [(1,)])
    path = tmp_path / "JPEGImages"
    assert len(open_dataset(path, tmp_path / "Annotations", format="video_directory")) == 1
    with pytest.raises(ValueError, match="a folder without a COCO file"):
        open_dataset(path, format="coco")


def test_what_is_no_data_set_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere: does not exist.*data_path"):
        open_dataset(tmp_path / "nowhere")
    (tmp_path / "v.txt").write_text("x")
    with pytest.raises(ValueError, match=r"v\.txt: neither a folder nor a JSON file"):
        open_dataset(tmp_path / "v.txt")
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps(content()))
    with pytest.raises(ValueError, match=r"several COCO files \(a\.json, b\.json\); point"):
        open_dataset(tmp_path)
