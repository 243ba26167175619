"""Tests of reading clips and of splitting videos."""

import pytest
import torch

from sam2_video.data.dataset import ClipDataset, read_clip, split_videos
from sam2_video.data.directory import open_video_directory
from sam2_video.data.sampling import ClipPlan, ClipSettings

ROWS = [(1,), None, (), (2, 1), (255,)]


@pytest.fixture
def video(video_directory):
    return open_video_directory(video_directory(a=ROWS))[0]


def test_a_clip_holds_masks_labels_and_late_prompts(video):
    clip = read_clip(video, ClipPlan((0, 1, 2, 3, 4), (1, 2), 9))
    assert clip.frames[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert clip.labelled.tolist() == [[True, False, True, True, True]] * 2
    assert clip.prompt_frames == (0, 3)
    assert [m.unique().tolist() for m in clip.masks[1]] == [[0], [0], [0], [0, 1], [0, 255]]
    assert (clip.video_id, clip.object_ids, clip.seed) == ("a", (1, 2), 9)
    assert clip.frame_names == tuple(f"frame_{i}" for i in range(5))


def test_a_frame_that_comes_twice_is_read_once(video, monkeypatch):
    read = []
    original = video.read_frame
    monkeypatch.setattr(video, "read_frame", lambda i, s: (read.append(i), original(i, s))[1])
    clip = read_clip(video, ClipPlan((0, 1, 0, 1), (1,), 9))
    assert sorted(read) == [0, 1]
    assert clip.frames[:, 0, 0, 0].tolist() == [0, 1, 0, 1]


def test_items_are_named_by_epoch_and_index(video_directory):
    videos = open_video_directory(video_directory(a=[(1,)] * 30, b=[(1,)] * 30))
    dataset = ClipDataset(videos, ClipSettings(3, (1, 1), 0.5, 1), seed=0, clips_per_video=3)
    assert len(dataset) == 6
    assert [dataset[0, i].video_id for i in range(6)] == ["a"] * 3 + ["b"] * 3
    assert torch.equal(dataset[4, 1].frames, dataset[4, 1].frames)
    assert len({dataset[epoch, i].frame_names for epoch in range(5) for i in range(6)}) > 10


def test_videos_are_split_by_seed_and_never_shared(video_directory):
    videos = open_video_directory(video_directory(**{f"v{i}": [(1,)] for i in range(10)}))
    train, validation = split_videos(videos, 0.2, seed=1)
    assert (len(train), len(validation)) == (8, 2)
    assert {*train, *validation} == {*videos}
    assert split_videos(videos, 0.2, seed=1) == (train, validation)
    assert len({split_videos(videos, 0.2, seed=seed)[1] for seed in range(10)}) > 3
    assert len(split_videos(videos, 0.001, 0)[1]) == len(split_videos(videos, 0.999, 0)[0]) == 1
    assert split_videos(videos, 0.0, 0) == (tuple(videos), ())
    with pytest.raises(ValueError, match=r"val_fraction is 0\.2 but there is 1 video.*val_path"):
        split_videos(videos[:1], 0.2, 0)
