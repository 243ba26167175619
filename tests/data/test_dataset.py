"""Tests of reading clips and of splitting videos."""

from collections import Counter

import pytest
import torch

from sam2_video.data.dataset import ClipDataset, ClipSet, read_clip
from sam2_video.data.directory import open_video_directory
from sam2_video.data.sampling import ClipPlan, ClipSettings
from sam2_video.data.split import split_videos

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
    dataset = ClipDataset([ClipSet(tuple(videos), ClipSettings(3, (1, 1), 0.5, 1), 3.0)], seed=0)
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


def test_sets_follow_each_other_each_with_its_own_settings(video_directory):
    videos = tuple(open_video_directory(video_directory(a=[(1,)] * 30, b=[(1,)] * 30)))
    sets = [
        ClipSet(videos[:1], ClipSettings(3, (1, 1), 0.0, 1), 2.0),
        ClipSet(videos[1:], ClipSettings(5, (4, 4), 0.0, 1), 3.0),
    ]
    dataset = ClipDataset(sets, seed=0)
    clips = [dataset[0, index] for index in range(len(dataset))]
    assert [clip.video_id for clip in clips] == ["a"] * 2 + ["b"] * 3
    assert [len(clip.frame_names) for clip in clips] == [3] * 2 + [5] * 3
    alone = ClipDataset(sets[:1], seed=0)
    assert [alone[0, i].seed for i in range(2)] == [clip.seed for clip in clips[:2]]


@pytest.mark.parametrize("share", [0.3, 1.7])
def test_a_share_that_is_not_whole_is_met_over_the_epochs(video_directory, share):
    videos = tuple(open_video_directory(video_directory(**{f"v{i}": [(1,)] * 3 for i in range(5)})))
    dataset = ClipDataset([ClipSet(videos, ClipSettings(3, (1, 1), 0.0, 1), share)], seed=0)
    assert len(dataset) == round(5 * share)
    keys = [(epoch, index) for epoch in range(6) for index in range(len(dataset))]
    drawn = Counter(dataset[key].video_id for key in keys)
    assert len(drawn) == 5
    assert max(drawn.values()) - min(drawn.values()) <= 1


def test_a_schedule_of_strides_follows_the_epochs(video_directory):
    videos = tuple(open_video_directory(video_directory(a=[(1,)] * 30)))
    options = ClipSettings(3, (1, 1), 0.0, 1, frame_stride_schedule=((0.5, 9),))
    dataset = ClipDataset([ClipSet(videos, options, 30.0)], seed=0, max_epochs=4)
    steps = [
        {
            int(dataset[epoch, i].frames[1, 0, 0, 0]) - int(dataset[epoch, i].frames[0, 0, 0, 0])
            for i in range(30)
        }
        for epoch in range(4)
    ]
    assert steps[0] == steps[1] == {1}
    assert max(steps[2]) > 5
    assert max(steps[3]) > 5
