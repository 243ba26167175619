"""Tests of several data sets in one run, of their settings, and of what is held out."""

from dataclasses import replace

import pytest

from sam2_video.config import DatasetConfig, MoreData
from sam2_video.data.datamodule import ClipDataModule
from sam2_video.data.sets import open_sets
from tests.data.conftest import write_video

LONG = [(1,)] * 6


@pytest.fixture
def folder(tmp_path):
    """Return a function that writes a video directory of a name from rows of objects a frame."""

    def build(name, **videos):
        for video, rows in videos.items():
            write_video(tmp_path / name / video, tmp_path / name / video / "masks", rows)
        return str(tmp_path / name)

    return build


@pytest.fixture
def davis(tmp_path):
    """Return a function that writes a DAVIS tree with lists of its videos."""

    def build(lists, names="abcdef"):
        for name in names:
            frames = tmp_path / "davis" / "JPEGImages" / "480p" / name
            write_video(frames, tmp_path / "davis" / "Annotations" / "480p" / name, LONG)
        for place, text in lists.items():
            path = tmp_path / "davis" / "ImageSets" / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return str(tmp_path / "davis")

    return build


def config(data_path, **changes):
    base = DatasetConfig(
        data_path=data_path, image_size=[24, 32], video_clip_length=3, num_workers=0
    )
    return replace(base, **changes)


def names(videos):
    return {video.video_id for video in videos}


def test_sets_inherit_how_clips_are_drawn_but_not_where_data_lie(folder):
    one, two = folder("one", a=LONG, b=LONG), folder("two", c=LONG, d=LONG, e=LONG)
    more = [MoreData(data_path=two, frame_stride=2, clips_per_video=3, weight=0.5)]
    settings = config(one, max_objects=2, frame_stride=[1, 4], val_path=one, more=more)
    first, second = open_sets(settings, 0)
    assert (first.settings.frame_stride, second.settings.frame_stride) == ((1, 4), (2, 2))
    assert second.settings.max_objects == 2
    assert (first.clips_per_video, second.clips_per_video) == (1, 1.5)
    assert (names(first.validation), names(second.validation)) == ({"a", "b"}, set())


def test_each_set_is_split_and_a_path_of_its_own_wins(folder):
    one = folder("one", **{f"a{i}": LONG for i in range(4)})
    two = folder("two", **{f"b{i}": LONG for i in range(4)})
    three, validation = folder("three", c=LONG), folder("validation", d=LONG)
    more = [MoreData(data_path=two), MoreData(data_path=three, val_path=validation)]
    sets = open_sets(config(one, val_fraction=0.25, more=more), 0)
    assert [len(one.train) for one in sets] == [3, 3, 1]
    assert [len(one.validation) for one in sets] == [1, 1, 1]
    assert names(sets[2].validation) == {"d"}
    assert not names(sets[0].train) & names(sets[0].validation)


def test_videos_of_one_name_are_told_apart(folder, log):
    one, two = folder("one", a=LONG, b=LONG), folder("two", b=LONG, c=LONG)
    settings = config(one, val_fraction=0.0, more=[MoreData(data_path=two)])
    module = ClipDataModule(settings, 0)
    module.setup()
    assert [v.video_id for v in module.train_videos] == ["a", "b", "set1-b", "set1-c"]
    assert any("1 videos are named like videos of another data set (b)" in line for line in log)


def test_single_images_are_never_held_out(folder, log):
    path = folder("one", still=[(1,)], sparse=[None, (1,), None], a=LONG, b=LONG)
    for seed in range(5):
        (found,) = open_sets(config(path, val_fraction=0.7), seed)
        assert len(found.validation) == 1
        assert names(found.validation) < {"a", "b"}
        assert len(found.train) == 3
    stills = folder("stills", a=[(1,)], b=[(1,)])
    (found,) = open_sets(config(stills), 0)
    assert (len(found.train), len(found.validation)) == (2, 0)
    assert any("nothing is held out: of 2 videos 0 have a second" in line for line in log)


def test_stills_that_teach_no_tracking_are_named_unless_they_move(folder, log):
    path = folder("one", still=[(1,)], a=LONG)
    open_sets(config(path, val_fraction=0.0), 0)
    assert any("1 videos (still) have one labelled frame" in line for line in log)
    log.clear()
    open_sets(config(path, val_fraction=0.0, still_images="motion"), 0)
    assert not any("labelled frame" in line for line in log)


def test_the_lists_of_a_davis_tree_say_what_is_held_out(davis, log):
    path = davis({"2017/train.txt": "a\nb\nc\nd\n", "2017/val.txt": "e\n"})
    for place in ("", "/JPEGImages", "/JPEGImages/480p"):
        (found,) = open_sets(config(path + place), 0)
        assert (names(found.train), names(found.validation)) == (set("abcd"), {"e"})
    assert any("4 videos of train.txt, 1 of val.txt; 1 in neither are left" in line for line in log)


@pytest.mark.parametrize("changes", [{"split": "seed"}, {"val_fraction": 0.0}])
def test_the_lists_can_be_left_aside(davis, changes):
    path = davis({"train.txt": "a b c d", "val.txt": "e"})
    (found,) = open_sets(config(path, **changes), 0)
    assert len(names(found.train) | names(found.validation)) == 6


def test_a_list_alone_or_of_files_is_no_split_and_the_newest_pair_is_taken(davis):
    path = davis({"train.txt": "a b", "480p/train.txt": "/x/a.jpg", "480p/val.txt": "/x/b.jpg"})
    (found,) = open_sets(config(path), 0)
    assert len(names(found.train) | names(found.validation)) == 6
    davis({"2016/train.txt": "a", "2016/val.txt": "b", "2017/train.txt": "c", "2017/val.txt": "d"})
    (found,) = open_sets(config(path), 0)
    assert (names(found.train), names(found.validation)) == ({"c"}, {"d"})


def test_lists_that_name_no_video_are_an_error(davis):
    path = davis({"train.txt": "a b", "val.txt": "x"})
    with pytest.raises(ValueError, match=r"2 are in the one and 0 in the other.*split: seed"):
        open_sets(config(path), 0)
