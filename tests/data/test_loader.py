"""Tests of the order of clips: shuffled, divided, resumed."""

from dataclasses import replace

import pytest

from sam2_video.data.dataset import ClipDataset, ClipSet
from sam2_video.data.directory import open_video_directory
from sam2_video.data.loader import ClipLoader, EpochSampler
from sam2_video.data.sampling import ClipSettings


def test_an_epoch_visits_every_clip_once_in_an_order_of_its_own():
    sampler = EpochSampler(20, seed=3)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert {index for _, index in first} == set(range(20))
    assert [index for _, index in first] != [index for _, index in second]
    assert {epoch for epoch, _ in first} == {0}
    assert {epoch for epoch, _ in second} == {1}
    assert list(EpochSampler(20, seed=3)) == first
    assert list(EpochSampler(20, seed=4)) != first


@pytest.mark.parametrize("batch_size", [1, 2])
def test_batches_of_two_processes_are_one_larger_batch(batch_size):
    ranks = [list(EpochSampler(8, 0, rank, 2)) for rank in (0, 1)]
    whole = list(EpochSampler(8, 0))
    for start in range(0, 4, batch_size):
        together = {key for rank in ranks for key in rank[start : start + batch_size]}
        assert together == set(whole[2 * start : 2 * (start + batch_size)])


def test_processes_have_equal_numbers_and_miss_nothing():
    ranks = [list(EpochSampler(7, 0, rank, 3)) for rank in range(3)]
    assert [len(rank) for rank in ranks] == [len(EpochSampler(7, 0, 0, 3))] * 3 == [3] * 3
    assert {index for rank in ranks for _, index in rank} == set(range(7))
    assert [len(list(EpochSampler(1, 0, rank, 4))) for rank in range(4)] == [1] * 4


@pytest.fixture
def dataset(video_directory):
    videos = open_video_directory(video_directory(a=[(1,)] * 9, b=[(1,), (1, 2)] * 4))
    return ClipDataset([ClipSet(tuple(videos), ClipSettings(3, (1, 2), 0.5, 2), 4.0)], seed=0)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_workers_change_no_clip_and_see_every_epoch(dataset, num_workers):
    sampler = EpochSampler(len(dataset), 0)
    loader = ClipLoader(dataset, sampler, batch_size=3, num_workers=num_workers)
    assert len(loader) == 3
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        keys = list(sampler)
        seeds = [source.seed for batch in loader for source in batch.sources]
        assert seeds == [dataset[key].seed for key in keys]


def test_the_position_is_asked_when_the_first_batch_is(dataset):
    done = [0]
    loader = ClipLoader(dataset, EpochSampler(8, 0), 3, batches_done=lambda: done[0])
    whole = [batch.sources for batch in loader]
    early = iter(loader)
    done[0] = 2
    assert [batch.sources for batch in early] == whole[2:]
    assert len(loader) == 3


def test_a_resume_that_draws_other_clips_says_so(dataset, log):
    state = ClipLoader(dataset, EpochSampler(8, 0), 3).state_dict()
    ClipLoader(dataset, EpochSampler(8, 0), 3).load_state_dict(state)
    assert not log
    ClipLoader(dataset, EpochSampler(8, 0), 2).load_state_dict(state)
    assert "clips_a_step 3 -> 2" in log[0]


def test_a_resume_with_other_sets_or_another_schedule_says_so(dataset, log):
    (whole,) = dataset.sets
    options = replace(whole.settings, frame_stride_schedule=((0.5, 3),))
    state = ClipLoader(dataset, EpochSampler(8, 0), 3).state_dict()
    halves = [ClipSet(whole.videos[:1], options, 4.0), ClipSet(whole.videos[1:], options, 4.0)]
    loader = ClipLoader(ClipDataset(halves, 0, max_epochs=9), EpochSampler(8, 0), 3)
    loader.load_state_dict(loader.state_dict())
    assert not log
    loader.load_state_dict(state)
    assert "clips_of_sets None -> [4, 4], max_epochs None -> 9" in log[0]
