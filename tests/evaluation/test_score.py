"""Scores of one video: what is prompted, what counts, and what is left out."""

import math

import pytest
import torch

from sam2_video.evaluation import (
    VideoScore,
    choose_layout,
    evaluate_video,
    first_appearance_prompts,
    mean_over_objects,
)
from sam2_video.metrics import ObjectScores
from sam2_video.structures import IGNORE, OBJECT, PromptKind
from tests.made_up import (
    EARLY,
    HEIGHT,
    LATE,
    LATE_FRAME,
    NUM_FRAMES,
    WIDTH,
    rectangle,
)

NOTHING = torch.full((HEIGHT, WIDTH), -10.0)


@pytest.mark.parametrize("kind", list(PromptKind))
def test_a_model_that_says_the_truth_scores_one(model, video, answers, kind):
    score = evaluate_video(model, video, kind)
    assert score.objects == {EARLY: 1.0, LATE: 1.0}
    assert (score.scores.jf, score.scores.j, score.scores.f, score.mean) == (1, 1, 1, 1)
    assert score.video_id == "made-up"
    assert score.num_frames == score.num_tracked == NUM_FRAMES
    assert score.seconds >= 0


def test_the_first_and_the_last_annotated_frame_do_not_count(model, video, answers):
    for name in (EARLY, LATE):
        answers[name, 0] = answers[name, NUM_FRAMES - 1] = NOTHING
    assert evaluate_video(model, video).mean == 1
    counted = evaluate_video(model, video, count_first_and_last=True)
    assert counted.objects == {EARLY: 4 / 6, LATE: 3 / 4}
    assert [summary.num_frames for summary in counted.summaries] == [4, 6]


def test_a_late_object_counts_from_the_first_frame_that_shows_it(model, video, answers):
    answers[LATE, LATE_FRAME + 1] = NOTHING
    score = evaluate_video(model, video)
    # frames 2, 3 and 4: the one on which it is given is one of them, as in public evaluators
    assert score.objects[LATE] == pytest.approx(2 / 3)
    assert score.frames[LATE] == {3: 0, 4: 1, 5: 1}
    assert list(score.frames[EARLY]) == [1, 2, 3, 4, 5]


def test_j_and_f_are_those_of_the_metrics(model, video, answers):
    # the object moves down by one of its twelve rows a frame
    answers[EARLY, 3] = (rectangle(5 + 2, 8) == OBJECT).float() * 20 - 10
    expected = ObjectScores(EARLY)
    for frame in range(1, NUM_FRAMES - 1):
        expected.update(frame, answers[EARLY, frame] > 0, video.truth[EARLY][frame])
    expected.note(0, is_visible=True)
    summary = evaluate_video(model, video).summaries[1]
    assert summary.j == pytest.approx((3 + 11 / 13) / 4)
    assert (summary.j, summary.f) == (expected.summary().j, expected.summary().f)


def test_unlabelled_frames_are_not_scored(model, video, answers):
    del video.truth[EARLY][3]
    for by_frame in video.truth.values():
        by_frame.pop(4)
    score = evaluate_video(model, video)
    assert list(score.frames[EARLY]) == [1, 2, 5]
    assert list(score.frames[LATE]) == [3, 5]
    assert [summary.num_frames for summary in score.summaries] == [2, 2]


def test_a_labelled_frame_without_the_object_wants_an_empty_mask(model, video, answers):
    video.truth[EARLY][4] = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    assert evaluate_video(model, video).frames[EARLY][4] == 0
    answers[EARLY, 4] = NOTHING
    assert evaluate_video(model, video).frames[EARLY][4] == 1


def test_pixels_of_255_are_background_as_for_the_public_evaluators(model, video, answers):
    video.truth[EARLY][2][30:, :] = IGNORE
    assert evaluate_video(model, video).frames[EARLY][2] == 1
    answers[EARLY, 2][32:, :] = 10.0
    assert evaluate_video(model, video).frames[EARLY][2] < 1


def test_objects_overlap_or_not_as_the_layout_says(model, video, answers):
    assert choose_layout(video) == "objects"
    # both claim everything on frame 3, the late one more strongly on its own half
    answers[EARLY, 3] = torch.full((HEIGHT, WIDTH), 5.0)
    answers[LATE, 3] = torch.where(torch.arange(WIDTH) < WIDTH // 2, 1.0, 7.0).expand(HEIGHT, WIDTH)
    apart = evaluate_video(model, video, layout="objects", keep_frames=[3]).masks[3]
    assert apart.all()
    merged = evaluate_video(model, video, layout="davis", keep_frames=[3]).masks[3]
    assert torch.equal(merged[0], ~merged[1])
    assert merged[1, :, : WIDTH // 2].all()
    assert merged[0, :, WIDTH // 2 :].all()


def test_frames_asked_for_keep_a_mask_of_every_object(model, video, answers):
    score = evaluate_video(model, video, keep_frames=(1, 4))
    assert sorted(score.masks) == [1, 4]
    assert score.masks[4].shape == (2, HEIGHT, WIDTH)
    # in the order of `video.object_ids`, also where not all have been prompted yet
    assert torch.equal(score.masks[4][0], video.truth[LATE][4] == OBJECT)
    assert torch.equal(score.masks[4][1], video.truth[EARLY][4] == OBJECT)
    assert not score.masks[1][0].any()
    assert torch.equal(score.masks[1][1], video.truth[EARLY][1] == OBJECT)
    assert evaluate_video(model, video).masks == {}


def test_frames_after_the_last_annotated_one_are_not_tracked(model, video, answers):
    for by_frame in video.truth.values():
        del by_frame[4], by_frame[5]
    score = evaluate_video(model, video)
    assert (score.num_tracked, score.num_frames) == (4, NUM_FRAMES)
    assert evaluate_video(model, video, keep_frames=[5]).num_tracked == NUM_FRAMES


def test_a_mask_prompt_is_the_true_mask_where_an_object_first_appears(video):
    video.truth[EARLY][0][30:, :] = IGNORE
    prompts = first_appearance_prompts(video, PromptKind.MASK)
    assert [(p.object_id, p.frame) for p in prompts] == [(EARLY, 0), (LATE, LATE_FRAME)]
    for prompt in prompts:
        truth = video.truth[prompt.object_id][prompt.frame]
        assert prompt.mask is not None
        assert torch.equal(prompt.mask > 0, truth == OBJECT)


def test_a_box_prompt_spans_the_first_and_last_pixel_at_the_prompt_frame(video):
    prompts = first_appearance_prompts(video, PromptKind.BOX)
    assert [(p.object_id, p.frame, p.box) for p in prompts] == [
        (EARLY, 0, [8, 5, 23, 16]),
        (LATE, LATE_FRAME, [28, 20, 43, 31]),
    ]


@pytest.mark.parametrize("num_points", [1, 3])
def test_point_prompts_lie_on_the_object_at_the_prompt_frame(video, num_points):
    for prompt in first_appearance_prompts(video, PromptKind.POINT, num_points):
        truth = video.truth[prompt.object_id][prompt.frame]
        assert prompt.labels == [1] * num_points
        assert prompt.points is not None
        assert all(truth[int(y), int(x)] == OBJECT for x, y in prompt.points)


def test_an_object_of_fewer_pixels_than_points_is_prompted_with_what_it_has(video):
    video.truth[LATE][LATE_FRAME] = rectangle(20, 30, 1, 1)
    late = first_appearance_prompts(video, PromptKind.POINT, num_points=2)[1]
    assert late.points is not None
    assert late.points[0] == [30, 20]
    assert late.labels == [1, -1]


@pytest.mark.parametrize("kind", list(PromptKind))
@pytest.mark.parametrize("is_memory_used", [True, False])
def test_a_real_model_is_scored_with_every_prompt(model, video, kind, is_memory_used):
    score = evaluate_video(model, video, kind, 2, is_memory_used, keep_frames=(0, 5))
    assert set(score.objects) == {EARLY, LATE}
    assert 0 <= score.mean <= 1
    assert sorted(score.masks) == [0, 5]


def test_scores_are_the_same_whatever_frames_are_kept(model, video):
    one = evaluate_video(model, video)
    other = evaluate_video(model, video, keep_frames=range(NUM_FRAMES))
    assert other.summaries[0].j == one.summaries[0].j
    assert other.frames == one.frames


@pytest.mark.parametrize("is_memory_used", [True, False])
def test_the_model_is_asked_to_track_with_or_without_memory(
    model, video, monkeypatch, is_memory_used
):
    asked = []
    monkeypatch.setattr(model, "track", lambda *args, **_: asked.append(args[2]) or [])
    evaluate_video(model, video, is_memory_used=is_memory_used)
    assert asked == [is_memory_used]


def test_the_mean_is_over_objects_not_over_frames_or_videos(model, video, answers):
    answers[LATE, 3] = NOTHING
    score = evaluate_video(model, video)
    alone = VideoScore("x", {}, 3, 0.0, summaries=score.summaries[:1])
    assert score.mean == pytest.approx((1 + 2 / 3) / 2)
    assert mean_over_objects([score, alone]) == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)


def test_a_video_without_a_frame_that_counts_has_no_score(model, video, answers):
    for by_frame in video.truth.values():
        for frame in range(2, 5):
            by_frame.pop(frame)
    video.truth[LATE] = {}
    del video.truth[EARLY][1]
    score = evaluate_video(model, video)
    assert score.objects == {}
    assert math.isnan(score.mean)
    assert math.isnan(mean_over_objects([score]))
