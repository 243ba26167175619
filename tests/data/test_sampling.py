"""Tests of drawing clips: determinism, fit, short videos, fairness, sparse labels."""

import hashlib
import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sam2_video.data.sampling import ClipSettings, can_be_supervised, draw_clip
from sam2_video.data.source import ImageFiles
from sam2_video.data.video import Video


class ListedVideo(Video):
    """A video of which only the rows of visible objects exist; None is unlabelled."""

    def __init__(self, rows):
        super().__init__("listed", ImageFiles([Path("x")]), [""] * len(rows))
        self.rows = rows

    def is_labelled(self, index, object_id=None):
        return self.rows[index] is not None

    def _read_visible(self, index):
        return self.rows[index]

    def _read_masks(self, index, object_ids):
        return torch.zeros(len(object_ids), 1, 1, dtype=torch.uint8)


def sequence(*numbers):
    return np.random.SeedSequence(numbers)


def settings(length=5, stride=(1, 1), reverse=0.0, max_objects=3):
    return ClipSettings(length, stride, reverse, max_objects)


def draw_many(video, options, count=200):
    return [draw_clip(video, options, sequence(0, 0, index)) for index in range(count)]


rows = st.lists(
    st.one_of(st.none(), st.lists(st.integers(1, 4), max_size=3, unique=True).map(tuple)),
    min_size=1,
    max_size=30,
).filter(any)


@given(rows, st.integers(1, 8), st.integers(1, 3), st.integers(0, 3), st.floats(0, 1))
def test_any_video_with_an_object_gives_a_clip_that_starts_on_an_object(
    rows, length, low, extra, reverse
):
    options = settings(length, (low, low + extra), reverse, max_objects=2)
    plan = draw_clip(ListedVideo(rows), options, sequence(1, 2, 3))
    assert len(plan.frames) == length
    assert all(0 <= frame < len(rows) for frame in plan.frames)
    assert rows[plan.frames[0]]
    shown = {o for frame in plan.frames for o in rows[frame] or ()}
    assert set(plan.object_ids) <= shown
    assert len(plan.object_ids) == min(2, len(shown))
    steps = {abs(b - a) for a, b in zip(plan.frames, plan.frames[1:], strict=False)}
    assert len(steps) <= 1 or 1 in steps


def test_a_clip_depends_on_seed_epoch_and_index_only():
    video = ListedVideo([(1, 2)] * 50)
    options = settings(stride=(1, 4), reverse=0.5, max_objects=1)
    plans = {
        key: draw_clip(video, options, sequence(*key)) for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0)]
    }
    assert len({plan.seed for plan in plans.values()}) == 3
    again = draw_clip(ListedVideo([(1, 2)] * 50), options, sequence(0, 0, 0))
    assert again == plans[0, 0, 0]
    torch.Generator().manual_seed(again.seed)


def test_strides_of_the_range_and_directions_are_drawn():
    plans = draw_many(ListedVideo([(1,)] * 60), settings(stride=(2, 4), reverse=0.5))
    steps = Counter(plan.frames[1] - plan.frames[0] for plan in plans)
    assert set(steps) == {-4, -3, -2, 2, 3, 4}
    assert min(steps.values()) > 15


@pytest.mark.parametrize(("reverse", "sign"), [(0.0, 1), (1.0, -1)])
def test_direction_follows_the_probability(reverse, sign):
    plans = draw_many(ListedVideo([(1,)] * 20), settings(reverse=reverse), 20)
    assert {plan.frames[1] - plan.frames[0] for plan in plans} == {sign}


def test_stride_is_reduced_where_the_video_is_too_short_for_it():
    plans = draw_many(ListedVideo([(1,)] * 9), settings(length=5, stride=(4, 4)), 20)
    assert {plan.frames for plan in plans} == {(0, 2, 4, 6, 8)}


def test_a_short_video_is_played_forward_and_back():
    plans = draw_many(ListedVideo([(1,), (), ()]), settings(length=6, stride=(2, 2)), 5)
    assert {plan.frames for plan in plans} == {(0, 1, 2, 1, 0, 1)}
    assert draw_clip(ListedVideo([(1,)]), settings(length=3), sequence(0)).frames == (0, 0, 0)


def test_every_frame_from_which_the_clip_fits_is_a_start():
    starts = Counter(plan.frames[0] for plan in draw_many(ListedVideo([(1,)] * 8), settings()))
    assert set(starts) == {0, 1, 2, 3}
    assert min(starts.values()) > 30


def test_each_visible_object_is_equally_likely():
    video = ListedVideo([(1, 2)] * 4 + [(1, 2, 3, 4)])
    counts = Counter(
        o for plan in draw_many(video, settings(max_objects=2), 400) for o in plan.object_ids
    )
    assert set(counts) == {1, 2, 3, 4}
    assert min(counts.values()) > 160


def test_clips_of_sparse_videos_meet_a_second_labelled_frame():
    video = ListedVideo([(1,) if i in (0, 14, 28) else None for i in range(40)])
    options = settings(length=5, stride=(1, 8))
    for plan in draw_many(video, options, 50):
        assert sum(video.is_labelled(frame) for frame in plan.frames) >= 2
    assert can_be_supervised(video, options)
    assert not can_be_supervised(video, settings(length=5, stride=(1, 3)))
    assert draw_clip(video, settings(length=5), sequence(0)).frames[0] in (0, 14, 28)


def test_a_video_without_objects_is_named():
    with pytest.raises(ValueError, match="video listed: no object is visible"):
        draw_clip(ListedVideo([(), None]), settings(), sequence(0))


def test_default_clips_are_those_that_have_always_been_drawn():
    videos = [
        ListedVideo([(1, 2)] * 50),
        ListedVideo([(1,) if i % 7 == 0 else None for i in range(40)]),
        ListedVideo([(1, 2, 3, 4, 5)] * 3),
        ListedVideo([(3,)]),
        ListedVideo([(1,), (), (1, 2)] * 9),
    ]
    drawn = hashlib.sha256()
    for options in (
        settings(reverse=0.5),
        settings(8, (1, 4), 0.5, 2),
        settings(3, (2, 3), 0.0, 1),
    ):
        for seed, epoch, index in itertools.product((0, 42), (0, 3), range(40)):
            plan = draw_clip(videos[index % 5], options, sequence(seed, epoch, index))
            drawn.update(repr((plan.frames, plan.object_ids, plan.seed)).encode())
    assert drawn.hexdigest().startswith("ea374746118503d4")


def test_the_largest_stride_follows_the_progress():
    options = replace(settings(stride=(1, 2)), frame_stride_schedule=((0.1, 6), (0.8, 1)))
    video = ListedVideo([(1,)] * 60)
    for progress, largest in [(0.0, 2), (0.1, 6), (0.79, 6), (0.8, 1)]:
        plans = [draw_clip(video, options, sequence(i), progress) for i in range(100)]
        assert {plan.frames[1] - plan.frames[0] for plan in plans} == {*range(1, largest + 1)}
    assert options.largest_stride == 6
    sparse = ListedVideo([(1,) if i in (0, 24) else None for i in range(40)])
    assert can_be_supervised(sparse, options)
    assert not can_be_supervised(sparse, replace(options, frame_stride_schedule=()))
