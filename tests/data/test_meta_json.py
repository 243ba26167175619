"""Tests of `meta.json` as YouTube-VOS, MOSE and LVOS write it, with sparse masks."""

import json

import pytest

from sam2_video.data.layout import open_dataset
from sam2_video.data.meta_json import read_meta
from tests.data.conftest import write_video

ROWS = [(1,), None, None, None, None, (1, 2), None, None, None, None, ()]
YOUTUBE_VOS = {
    "videos": {
        "a": {
            "objects": {
                "1": {"category": "ape", "frames": ["frame_0", "frame_5", "frame_10"]},
                "2": {"category": "hat", "frames": ["frame_5"]},
            }
        }
    }
}
MOSE = {"videos": {"a": {"length": 11, "objects": {"1": {"category": "ape"}, "2": {}}}}}
LVOS = {
    "videos": {
        "a": {
            "objects": {
                "1": {"category": "ape", "frame_range": {"start": "0", "end": "10", "nums": 3}}
            }
        }
    }
}


def write(root, meta=None, name="meta.json"):
    write_video(root / "JPEGImages" / "a", root / "Annotations" / "a", ROWS)
    if meta is not None:
        (root / name).write_text(meta if isinstance(meta, str) else json.dumps(meta))
    return root


def test_masks_of_every_fifth_frame_leave_the_others_unlabelled(tmp_path):
    (video,) = open_dataset(write(tmp_path, MOSE))
    assert video.labelled_frames == (0, 5, 10)
    assert [video.visible_objects(i) for i in (0, 1, 5, 10)] == [(1,), (), (1, 2), ()]
    assert [video.is_labelled(i, 2) for i in (0, 1, 5, 10)] == [True, False, True, True]


def test_a_listed_frame_that_does_not_show_the_object_says_nothing_of_it(tmp_path):
    (video,) = open_dataset(write(tmp_path, YOUTUBE_VOS))
    assert [video.is_labelled(i, 1) for i in (0, 1, 5, 10)] == [True, False, True, False]
    assert [video.is_labelled(i, 2) for i in (0, 5, 10)] == [True, True, True]
    assert video.is_labelled(10)


@pytest.mark.parametrize(
    ("name", "meta", "names"),
    [
        ("meta.json", YOUTUBE_VOS, {1: "ape", 2: "hat"}),
        ("meta_train.json", MOSE, {1: "ape"}),
        ("train_meta.json", LVOS, {1: "ape"}),
    ],
)
def test_categories_are_the_names_of_objects(tmp_path, log, name, meta, names):
    (video,) = open_dataset(write(tmp_path, meta, name))
    assert video.object_names == names
    shown = ", ".join(sorted(names.values()))
    assert f"; {len(names)} names of objects ({shown})" in log[-1]


@pytest.mark.parametrize(
    ("name", "meta"),
    [
        ("metadata.json", YOUTUBE_VOS),
        ("meta_expressions.json", {"videos": {"a": {"expressions": {}}}}),
        ("meta.json", {"videos": ["a"]}),
        ("meta.json", {"videos": {"a": 3, "b": None}}),
        ("meta.json", ["videos"]),
    ],
)
def test_files_of_another_kind_are_passed_over(tmp_path, name, meta):
    (video,) = open_dataset(write(tmp_path, meta, name))
    assert not video.object_names


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ("{", r"meta.json: no valid JSON \(.*\); copy the file again, or remove it"),
        ({"videos": {"a": {"objects": [1]}}}, r"meta.json, video a: expected `objects`: a mapping"),
        (
            {"videos": {"a": {"objects": {"x": {}}}}},
            r"video a: object 'x' is {}; expected a number",
        ),
        ({"videos": {"a": {"objects": {"1": 5}}}}, r"video a: object '1' is 5; expected a number"),
        ({"videos": {"a": {"objects": {}}, "b": 3}}, r"video b: expected `objects`: a mapping"),
    ],
)
def test_a_broken_file_is_named(tmp_path, meta, message):
    with pytest.raises(ValueError, match=message) as error:
        open_dataset(write(tmp_path, meta))
    assert "\n" not in str(error.value)


def test_a_tree_needs_none(tmp_path):
    assert read_meta(write(tmp_path)) == {}
