"""Scores of whole videos: what is prompted, what is scored, and what is left out."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sam2_video.data.video import Video
from sam2_video.evaluation import (
    VideoFrames,
    VideoScore,
    evaluate_video,
    first_appearance_prompts,
    mean_over_objects,
)
from sam2_video.model.sam2 import SAM2Model
from sam2_video.model.stream import ObjectPrompt, TrackedFrame
from sam2_video.structures import IGNORE, OBJECT, PromptKind

HEIGHT, WIDTH, NUM_FRAMES = 40, 56, 6
EARLY, LATE = 11, 3
LATE_FRAME = 2


class MadeUpVideo(Video):
    """A video in memory: `masks[object][frame]`; frames without a key are unlabelled."""

    def __init__(self, masks: dict[int, dict[int, Tensor]]) -> None:
        names = [f"{i}.jpg" for i in range(NUM_FRAMES)]
        super().__init__("made-up", [Path(name) for name in names], names)
        self.truth = masks
        self.num_read = 0

    def read_frame(self, index: int, max_size: tuple[int, int] | None = None) -> Tensor:
        self.num_read += 1
        return torch.full((3, HEIGHT, WIDTH), 40 * index, dtype=torch.uint8)

    def is_labelled(self, index: int, object_id: int | None = None) -> bool:
        if object_id is not None:
            return index in self.truth[object_id]
        return any(index in by_frame for by_frame in self.truth.values())

    def _read_visible(self, index: int) -> tuple[int, ...]:
        return tuple(
            name
            for name, by_frame in sorted(self.truth.items())
            if index in by_frame and (by_frame[index] == OBJECT).any()
        )

    def _read_masks(self, index: int, object_ids: Sequence[int]) -> Tensor:
        return torch.stack([self.truth[name][index] for name in object_ids])

    def _read_size(self) -> tuple[int, int]:
        return HEIGHT, WIDTH


def rectangle(top: int, left: int, height: int = 12, width: int = 16) -> Tensor:
    mask = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    mask[top : top + height, left : left + width] = OBJECT
    return mask


@pytest.fixture
def video() -> MadeUpVideo:
    """An object seen on all frames, and one that comes on frame 2."""
    early = {frame: rectangle(5 + frame, 8) for frame in range(NUM_FRAMES)}
    late = {frame: rectangle(20, 30 - frame) for frame in range(LATE_FRAME, NUM_FRAMES)}
    empty = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    return MadeUpVideo({EARLY: early, LATE: dict.fromkeys(range(LATE_FRAME), empty) | late})


@pytest.fixture(scope="module")
def model() -> SAM2Model:
    return SAM2Model.load(None, "micro", (64, 64))


@pytest.fixture
def answers(model, video, monkeypatch) -> dict[tuple[int, int], Tensor]:
    """What the model says of (object, frame), the truth at first: change it in a test."""
    said = {
        (name, frame): (video.truth[name][frame] == OBJECT).float() * 20 - 10
        for name in video.truth
        for frame in range(NUM_FRAMES)
    }

    def track(frames: Iterable[Tensor], prompts: Sequence[ObjectPrompt], is_memory_used: bool):
        for index, _ in enumerate(frames):
            names = tuple(sorted(p.object_id for p in prompts if p.frame <= index))
            logits = [said[name, index] for name in names]
            yield TrackedFrame(
                index,
                names,
                torch.stack(logits) if logits else torch.zeros(0, HEIGHT, WIDTH),
                torch.ones(len(names)),
            )

    monkeypatch.setattr(model, "track", track)
    return said


@pytest.mark.parametrize("kind", list(PromptKind))
def test_a_model_that_says_the_truth_scores_one(model, video, answers, kind):
    score = evaluate_video(model, video, kind)
    assert score.objects == {EARLY: 1.0, LATE: 1.0}
    assert score.mean == 1.0
    assert score.video_id == "made-up"
    assert score.num_frames == NUM_FRAMES
    assert score.seconds >= 0


def test_objects_are_scored_after_the_frame_of_their_prompt_only(model, video, answers):
    for key in answers:
        answers[key] = torch.full((HEIGHT, WIDTH), -10.0)
    score = evaluate_video(model, video)
    assert list(score.frames[EARLY]) == [1, 2, 3, 4, 5]
    assert list(score.frames[LATE]) == [3, 4, 5]
    assert score.mean == 0.0


def test_j_is_intersection_over_union_of_every_frame(model, video, answers):
    # the object moves down by one of its twelve rows a frame
    answers[EARLY, 3] = (rectangle(5 + 2, 8) == OBJECT).float() * 20 - 10
    score = evaluate_video(model, video)
    assert score.frames[EARLY][3] == pytest.approx(11 / 13)
    assert score.objects[EARLY] == pytest.approx((4 + 11 / 13) / 5)
    assert score.mean == pytest.approx(((4 + 11 / 13) / 5 + 1) / 2)


def test_unlabelled_frames_are_not_scored(model, video, answers):
    del video.truth[EARLY][3]
    for by_frame in video.truth.values():
        by_frame.pop(4)
    score = evaluate_video(model, video)
    assert list(score.frames[EARLY]) == [1, 2, 5]
    assert list(score.frames[LATE]) == [3, 5]


def test_a_labelled_frame_without_the_object_wants_an_empty_mask(model, video, answers):
    video.truth[EARLY][4] = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    assert evaluate_video(model, video).frames[EARLY][4] == 0
    answers[EARLY, 4] = torch.full((HEIGHT, WIDTH), -10.0)
    assert evaluate_video(model, video).frames[EARLY][4] == 1


def test_pixels_of_255_do_not_count(model, video, answers):
    video.truth[EARLY][2][30:, :] = IGNORE
    answers[EARLY, 2][32:, :] = 10.0
    score = evaluate_video(model, video)
    assert score.frames[EARLY][2] == 1
    video.truth[EARLY][3][:] = IGNORE
    score = evaluate_video(model, video)
    assert math.isnan(score.frames[EARLY][3])
    assert score.objects[EARLY] == 1


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
    assert set(score.frames) == {EARLY, LATE}
    assert 0 <= score.mean <= 1
    assert sorted(score.masks) == [0, 5]
    if kind is PromptKind.MASK:
        assert torch.equal(score.masks[0][1], video.truth[EARLY][0] == OBJECT)


def test_scores_are_the_same_whatever_frames_are_kept(model, video):
    one = evaluate_video(model, video)
    assert evaluate_video(model, video, keep_frames=range(NUM_FRAMES)).frames == one.frames


@pytest.mark.parametrize("is_memory_used", [True, False])
def test_the_model_is_asked_to_track_with_or_without_memory(
    model, video, monkeypatch, is_memory_used
):
    asked = []
    monkeypatch.setattr(model, "track", lambda *args: asked.append(args[2]) or [])
    evaluate_video(model, video, is_memory_used=is_memory_used)
    assert asked == [is_memory_used]


def test_frames_are_decoded_when_asked_for(video):
    frames = VideoFrames(video)
    assert len(frames) == NUM_FRAMES
    assert video.num_read == 0
    assert [int(frame[0, 0, 0]) for frame in frames] == [0, 40, 80, 120, 160, 200]
    assert video.num_read == NUM_FRAMES


def score_of(frames: dict[int, dict[int, float]]) -> VideoScore:
    return VideoScore("x", frames, num_frames=3, seconds=0.0)


def test_the_mean_is_over_objects_not_over_frames_or_videos():
    one = score_of({1: {1: 1.0, 2: 0.5}, 2: {2: 0.25}})
    other = score_of({1: {1: 0.0}})
    assert one.mean == pytest.approx(0.5)
    assert mean_over_objects([one, other]) == pytest.approx((0.75 + 0.25 + 0.0) / 3)


def test_objects_that_cannot_be_scored_are_left_out():
    score = score_of({1: {}, 2: {1: math.nan}, 3: {1: math.nan, 2: 0.5}})
    assert score.objects == {3: 0.5}
    assert math.isnan(score_of({1: {}}).mean)
    assert math.isnan(mean_over_objects([score_of({1: {}})]))
