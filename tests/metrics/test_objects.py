"""Scores of an object over its frames: means, recall, decay, absence and return."""

import math

import numpy as np
import pytest
import torch

from sam2_video.metrics import FrameScore, ObjectScores, mean_scores


def frame(j, f=None, *, visible=True, predicted=True):
    return FrameScore(j, j if f is None else f, j, visible, predicted)


def scored(*frames, **settings):
    scores = ObjectScores(7, **settings)
    for index, value in enumerate(frames):
        scores.add(index, value)
    return scores


ABSENT = frame(1.0, visible=False, predicted=False)
GHOST = frame(0.0, visible=False)
LOST = frame(0.0, predicted=False)


def test_masks_are_scored_with_255_as_background():
    truth = torch.zeros(6, 8, dtype=torch.uint8)
    truth[2:4, 2:4] = 1
    truth[2:4, 4:6] = 255
    scores = ObjectScores("dog")
    score = scores.update(3, truth > 0, truth)
    assert score.j == 0.5
    summary = scores.summary()
    assert (summary.object_id, summary.num_frames, summary.j) == ("dog", 1, 0.5)


def test_frames_may_come_in_any_order_and_a_frame_counts_once():
    forwards = scored(frame(0.9), frame(0.5), frame(0.1), frame(0.3)).summary()
    backwards = ObjectScores(7)
    for index, value in zip((3, 2, 1, 0), (0.3, 0.1, 0.5, 0.9), strict=True):
        backwards.add(index, frame(value))
    assert backwards.summary().j_decay == forwards.j_decay == pytest.approx(0.7 - 0.2)
    with pytest.raises(AssertionError, match="frame 2 is scored already"):
        backwards.add(2, frame(0.5))


def test_recall_is_the_share_of_frames_above_one_half():
    summary = scored(frame(0.5, 0.6), frame(0.51, 0.4), frame(0.2, 0.9), frame(0.9)).summary()
    assert (summary.j_recall, summary.f_recall) == (0.5, 0.75)
    assert summary.jf == pytest.approx((2.11 / 4 + 2.8 / 4) / 2)


def test_decay_is_the_first_quarter_less_the_last_also_beyond_256_frames():
    # quarters share their end frames, as davis2017-evaluation has them: 0..2 and 6..8 of 9
    values = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]
    assert scored(*map(frame, values)).summary().j_decay == pytest.approx(0.9 - 0.3)
    long = scored(*map(frame, np.linspace(1, 0, 1001))).summary()
    assert long.j_decay == pytest.approx(0.75)
    assert scored(frame(0.4)).summary().j_decay == 0


def test_frames_count_from_the_first_on_which_truth_or_prediction_shows_the_object():
    assert scored(ABSENT, ABSENT, frame(0.5), ABSENT).summary().j == 0.75
    assert scored(ABSENT, GHOST, frame(0.5), ABSENT).summary().j == 0.5
    assert scored(ABSENT, LOST, ABSENT).summary().num_frames == 2


def test_left_out_frames_neither_count_nor_start_the_object():
    scores = scored(frame(1.0), ABSENT, frame(0.5), frame(0.2))
    summary = scores.summary(leave_out={0, 3})
    assert (summary.num_frames, summary.j) == (1, 0.5)
    # but they say that it was there before it was absent
    assert (summary.num_returned, summary.returned_j) == (1, 0.5)


def test_an_object_that_the_truth_never_shows_is_not_scored():
    assert scored(ABSENT, GHOST).summary() is None
    assert scored(frame(1.0), ABSENT).summary(leave_out=[0]) is None
    assert ObjectScores(1).summary() is None


def test_davis_counts_all_frames_of_every_object():
    settings = {"starts_when_seen": False}
    assert scored(ABSENT, ABSENT, frame(0.5), frame(0.5), **settings).summary().j == 0.75
    assert scored(ABSENT, GHOST, **settings).summary().j == 0.5


def test_returned_frames_are_those_seen_again_after_an_annotated_absence():
    summary = scored(
        frame(0.9), ABSENT, frame(0.1), frame(0.3), GHOST, frame(0.5, 0.8), ABSENT
    ).summary()
    assert summary.num_returned == 3
    assert summary.returned_j == pytest.approx(0.3)
    assert summary.returned_f == pytest.approx(0.4)
    assert (summary.num_absent, summary.num_left_empty) == (3, 2)


def test_absence_before_the_first_appearance_is_no_return():
    summary = scored(GHOST, frame(0.4), LOST).summary()
    assert (summary.num_returned, summary.num_absent) == (0, 0)
    assert math.isnan(summary.returned_j)


def test_a_frame_that_is_only_noted_says_whether_the_object_had_been_seen():
    for was_visible, returned in ((True, 1), (False, 0)):
        scores = ObjectScores(1)
        scores.note(0, is_visible=was_visible)
        scores.add(1, GHOST)
        scores.add(2, frame(0.5))
        assert scores.summary().num_returned == returned


def test_iou_and_dice_leave_out_frames_where_nothing_is_to_be_seen():
    summary = scored(frame(0.5), ABSENT, frame(0.25), GHOST).summary()
    scores = mean_scores([summary])
    assert (scores.mean_iou, scores.dice) == (0.25, 0.25)
    assert scores.j == pytest.approx(1.75 / 4)
    assert scores.absent_correct == 0.5
