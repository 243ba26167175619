"""Tests of the DAVIS layout, entered at each of its levels."""

import shutil

import pytest

from sam2_video.data.davis import open_davis
from tests.data.conftest import write_video


@pytest.fixture(params=["480p", ""])
def tree(tmp_path, request):
    for name in ("v2", "v10"):
        frames = tmp_path / "JPEGImages" / request.param / name
        write_video(frames, tmp_path / "Annotations" / request.param / name, [(1,), None, (2,)])
    return tmp_path, request.param


def test_every_level_opens_the_same_videos(tree):
    root, level = tree
    for path in {root, root / "JPEGImages", root / "JPEGImages" / level}:
        videos = open_davis(path)
        assert [video.video_id for video in videos] == ["v2", "v10"]
        assert all(video.object_ids == (1, 2) for video in videos)
        assert all(video.labelled_frames == (0, 2) for video in videos)


def test_one_video_can_be_opened(tree):
    root, level = tree
    (video,) = open_davis(root / "JPEGImages" / level / "v10")
    assert (video.video_id, video.object_ids) == ("v10", (1, 2))


def test_masks_path_takes_the_place_of_annotations(tree, tmp_path):
    root, level = tree
    (root / "Annotations").rename(tmp_path / "Other")
    with pytest.raises(FileNotFoundError, match=r"Annotations: no masks: .*masks_path"):
        open_davis(root)
    assert [v.object_ids for v in open_davis(root, root / "Other" / level)] == [(1, 2), (1, 2)]


def test_a_video_without_masks_is_an_error(tree):
    root, level = tree
    shutil.rmtree(root / "Annotations" / level / "v10")
    with pytest.raises(FileNotFoundError, match=r"video .*v10: no masks: .*; add its PNG files"):
        open_davis(root)


def test_several_resolutions_are_not_guessed(tmp_path):
    for level in ("480p", "1080p"):
        frames = tmp_path / "JPEGImages" / level / "v"
        write_video(frames, tmp_path / "Annotations" / level / "v", [(1,)])
    with pytest.raises(ValueError, match=r"several resolutions \(480p, 1080p\); point"):
        open_davis(tmp_path)
    assert len(open_davis(tmp_path / "JPEGImages" / "480p")) == 1


@pytest.mark.parametrize("folder", ["JPEGImages", "something"])
def test_an_empty_tree_is_named(tmp_path, folder):
    (tmp_path / folder).mkdir()
    with pytest.raises(ValueError, match=r"in this folder; expected JPEGImages.*data_path"):
        open_davis(tmp_path)
