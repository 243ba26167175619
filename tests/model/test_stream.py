"""Whole videos, frame by frame: the same as the unroll, with bounded memory and late objects."""

import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sam2_video.model.sam2 import SAM2Model
from sam2_video.model.stream import ObjectPrompt, StreamTracker, TrackedFrame
from sam2_video.pixels import prepare_frames
from tests.model.micro import (
    SIZE,
    box_prompt,
    judge_presence,
    mask_prompt,
    micro_model,
    point_prompt,
    relative,
    squares,
    video,
)

MIXED = (
    ObjectPrompt(7, 0, mask=squares(1)[0] > 0),
    ObjectPrompt(3, 0, box=(7.0, 5.0, 34.0, 41.0)),
    ObjectPrompt(5, 2, points=[(24.0, 20.0)], labels=[1]),
    ObjectPrompt(4, 2, points=[(29.0, 20.0), (30.0, 21.0)], labels=[1, 0]),
    ObjectPrompt(9, 3, mask=squares(5)[4]),
)


@pytest.fixture(scope="module")
def model() -> SAM2Model:
    return micro_model()


def said(frames: list[TrackedFrame]) -> dict[tuple[int, int], Tensor]:
    """Return what was said of each (object, frame)."""
    return {
        (name, frame.index): torch.cat([frame.mask_logits[row].flatten(), score[None]])
        for frame in frames
        for row, (name, score) in enumerate(zip(frame.object_ids, frame.object_scores, strict=True))
    }


def assert_alike(ours: dict[tuple[int, int], Tensor], expected: dict[tuple[int, int], Tensor]):
    assert ours.keys() == expected.keys()
    for key, value in expected.items():
        assert relative(ours[key], value) < 1e-6, key


# longer than memory; and short, where the age of pointers counts by the video's length
@pytest.mark.parametrize("num_frames", [20, 6])
def test_a_video_is_tracked_as_a_clip_is_in_evaluation(model, num_frames):
    frames = video(num_frames)
    streamed = said(list(model.track(frames, MIXED)))
    prompts = [
        mask_prompt(0, (0,)),
        box_prompt(0, (1,)),
        point_prompt(2, (3,)),
        replace(point_prompt(2, (4,), num_points=2), objects=(2,)),
        mask_prompt(3, (4,)),
    ]
    # the box of object 1, the points of objects 3 and 4
    assert prompts[1].points is not None
    assert prompts[1].points.flatten().tolist() == [7, 5, 34, 41]
    with torch.no_grad():
        outputs = model(
            prepare_frames(torch.stack(frames), SIZE)[None], torch.zeros(5).long(), prompts
        )
    names = dict(enumerate([7, 3, 4, 5, 9]))
    expected = {}
    for output in outputs:
        logits = F.interpolate(output.best_mask_logits[None], SIZE, mode="bilinear")[0]
        for row, name in enumerate(output.objects):
            score = output.object_score_logits[row, None]
            expected[names[name], output.frame] = torch.cat([logits[row].flatten(), score])
    assert_alike(streamed, expected)


def test_frames_hold_the_objects_prompted_so_far_by_rising_id(model):
    frames = list(model.track(video(5), MIXED))
    assert [frame.index for frame in frames] == list(range(5))
    assert [frame.object_ids for frame in frames] == [
        (3, 7),
        (3, 7),
        (3, 4, 5, 7),
        (3, 4, 5, 7, 9),
        (3, 4, 5, 7, 9),
    ]
    assert frames[2].mask_logits.shape == (4, *SIZE)
    assert torch.equal(frames[2].masks, frames[2].mask_logits > 0)
    assert torch.equal(frames[3].masks[4], squares(5)[4] > 0)


def test_frames_before_the_first_prompt_are_empty(model):
    frames = list(model.track(video(2), [replace(MIXED[0], frame=1)]))
    assert frames[0].object_ids == ()
    assert frames[0].mask_logits.shape == (0, *SIZE)
    assert frames[0].object_scores.shape == (0,)
    assert frames[1].object_ids == (7,)


@pytest.mark.parametrize("prompt", MIXED, ids=lambda prompt: str(prompt.object_id))
def test_an_object_alone_is_tracked_as_in_company(model, prompt):
    frames = video(8)
    together = said(list(model.track(frames, MIXED)))
    alone = said(list(model.track(frames, [prompt])))
    assert_alike(alone, {key: x for key, x in together.items() if key[0] == prompt.object_id})


def test_memory_does_not_grow_with_the_video(model):
    tracker = StreamTracker(model.network, SIZE)
    sizes = []
    for index, frame in enumerate(video(60)):
        prompts = [prompt for prompt in MIXED if prompt.frame == index]
        with torch.inference_mode():
            tracker.step(model.encode(prepare_frames(frame[None], SIZE)), SIZE, prompts)
        entries = [
            entry
            for cohort in tracker._cohorts
            for entry in (*cohort.bank.conditioning, *cohort.bank.tracked)
        ]
        sizes.append((len(entries), sum(entry.features is not None for entry in entries)))
    # one conditioning frame, 15 pointers of tracked frames, 6 of them with spatial memory
    num_cohorts = len(tracker._cohorts)
    assert set(sizes[20:]) == {(num_cohorts * 16, num_cohorts * 7)}


def test_an_endless_stream_yields_frame_by_frame(model):
    given = []

    def camera():
        for frame in itertools.cycle(video(3)):
            given.append(frame)
            yield frame

    for frame in model.track(camera(), MIXED):
        assert len(given) == frame.index + 1
        if frame.index == 6:
            break


def test_tracking_builds_no_graph_and_leaves_no_mode_behind(model):
    for frame in model.track(video(2), MIXED[:1]):
        assert not frame.mask_logits.requires_grad
        assert not frame.object_scores.requires_grad
        assert not torch.is_inference_mode_enabled()
        assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    "again",
    [
        ObjectPrompt(3, 4, mask=squares(4)[3]),
        ObjectPrompt(3, 4, box=(20.0, 20.0, 50.0, 60.0)),
        ObjectPrompt(3, 4, points=[(50.0, 50.0)], labels=[1]),
    ],
)
def test_a_second_prompt_of_an_object_counts_from_its_frame_on_and_for_it_alone(model, again):
    frames = video(7)
    once = said(list(model.track(frames, MIXED)))
    twice = said(list(model.track(frames, [*MIXED, again])))
    assert twice.keys() == once.keys()
    for (name, index), value in twice.items():
        is_concerned = name == 3 and index >= 4
        assert (relative(value, once[name, index]) > 1e-4) == is_concerned, (name, index)
    if again.mask is not None:
        assert torch.equal(twice[3, 4][:-1].reshape(SIZE) > 0, again.mask > 0)


def test_the_first_prompt_is_remembered_after_the_second(model):
    frames = video(7)
    again = ObjectPrompt(3, 4, mask=squares(4)[3])
    after_box = said(list(model.track(frames, [MIXED[1], again])))
    alone = said(list(model.track(frames, [again])))
    assert relative(after_box[3, 4], alone[3, 4]) < 1e-6
    assert relative(after_box[3, 5], alone[3, 5]) > 1e-4


@pytest.mark.parametrize("is_memory_used", [True, False])
def test_without_memory_a_frame_knows_nothing_of_those_before_it(model, is_memory_used):
    frames, others = video(6), video(6, seed=1)
    changed = [frames[0], others[1], others[2], *frames[3:]]
    prompts = [*MIXED[:2], replace(MIXED[4], frame=0)]
    one = said(list(model.track(frames, prompts, is_memory_used)))
    other = said(list(model.track(changed, prompts, is_memory_used)))
    for name in (3, 7, 9):
        assert (relative(other[name, 4], one[name, 4]) > 1e-4) == is_memory_used
    if not is_memory_used:
        # and all objects, of which it has nothing to tell them apart, look the same to it
        assert relative(one[3, 4], one[7, 4]) < 1e-6


def test_without_memory_a_prompt_still_counts_on_its_own_frame(model):
    frames = list(model.track(video(2), MIXED[:1], is_memory_used=False))
    assert torch.equal(frames[0].masks[0], squares(1)[0] > 0)


def test_prompts_are_in_pixels_of_the_frame_not_of_the_models_input(model):
    # of one colour: resizing changes nothing, so only the prompts' coordinates can differ
    plain = [torch.full((3, 64, 64), 90 + 20 * i, dtype=torch.uint8) for i in range(3)]
    large = [torch.full((3, 128, 192), 90 + 20 * i, dtype=torch.uint8) for i in range(3)]
    prompts = [
        ObjectPrompt(0, 0, box=(6.0, 10.0, 30.0, 50.0)),
        ObjectPrompt(1, 0, points=[(20.0, 40.0)], labels=[1]),
        ObjectPrompt(2, 0, mask=squares(1)[0]),
    ]
    scaled = [
        ObjectPrompt(0, 0, box=(18.0, 20.0, 90.0, 100.0)),
        ObjectPrompt(1, 0, points=[(60.0, 80.0)], labels=[1]),
        ObjectPrompt(2, 0, mask=F.interpolate(squares(1)[None], (128, 192))[0, 0]),
    ]
    for one, other in zip(model.track(plain, prompts), model.track(large, scaled), strict=True):
        assert other.mask_logits.shape == (3, 128, 192)
        torch.testing.assert_close(other.object_scores, one.object_scores, rtol=1e-4, atol=1e-4)
        same = other.masks[:, ::2, ::3] == one.masks
        assert same.float().mean() > 0.95


def test_non_square_models_track(model):
    wide = micro_model(image_size=(64, 96))
    frames = list(
        wide.track(video(3, (50, 70)), [ObjectPrompt(1, 0, mask=squares(1, (50, 70))[0])])
    )
    assert [frame.mask_logits.shape for frame in frames] == [(1, 50, 70)] * 3


def test_an_object_judged_absent_has_an_empty_mask_and_stays_in_the_output():
    model = micro_model()
    judge_presence(model, is_present=False)
    frames = list(model.track(video(3), MIXED[:1]))
    assert frames[0].masks.any()
    for frame in frames[1:]:
        assert frame.object_ids == (7,)
        assert (frame.mask_logits == -1024).all()
        assert (frame.object_scores < 0).all()


def test_a_mask_of_another_size_than_its_frame_is_refused(model):
    prompt = ObjectPrompt(1, 0, mask=torch.ones(32, 64))
    message = r"object 1 on frame 0: mask of size \(32, 64\); expected the frame's \(64, 64\)"
    with pytest.raises(ValueError, match=message):
        list(model.track(video(2), [prompt]))


@pytest.mark.parametrize("frame", [-1, 2, 9])
def test_a_prompt_for_a_frame_that_never_comes_is_refused(model, frame):
    prompts = [MIXED[0], ObjectPrompt(1, frame, box=(0.0, 0.0, 5.0, 5.0))]
    message = rf"prompts for frames \[{frame}\]: the video has 2 frames"
    with pytest.raises(ValueError, match=message):
        list(model.track(video(2), prompts))
    with pytest.raises(ValueError, match=message):
        list(model.track(iter(video(2)), prompts))


def test_a_prompt_that_never_comes_is_refused_before_any_frame_where_the_length_is_known(model):
    tracked = model.track(video(2), [replace(MIXED[0], frame=5)])
    with pytest.raises(ValueError, match=r"prompts for frames \[5\]: the video has 2 frames"):
        next(tracked)


def test_two_prompts_for_one_object_on_one_frame_are_refused(model):
    with pytest.raises(ValueError, match=r"frame 0: got 2 prompts for the objects \[7\]"):
        list(model.track(video(2), [MIXED[0], ObjectPrompt(7, 0, box=(0.0, 0.0, 5.0, 5.0))]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "got 0 of mask, box, points; expected exactly one"),
        (
            {"mask": torch.ones(4, 4), "box": (0.0, 0.0, 1.0, 1.0)},
            "got 2 of mask, box, points",
        ),
        ({"points": [(1.0, 2.0)]}, "got 1 points and 0 labels"),
        ({"points": [(1.0, 2.0)], "labels": [1, 0]}, "got 1 points and 2 labels"),
        ({"points": [], "labels": []}, "got no points"),
        ({"points": [(1.0, 2.0)], "labels": [2]}, r"got labels \[2\]"),
        ({"points": [(1.0, 2.0, 3.0)], "labels": [1]}, r"got the point \(1\.0, 2\.0, 3\.0\)"),
        ({"box": (1.0, 2.0, 3.0)}, r"got the box \(1\.0, 2\.0, 3\.0\)"),
    ],
)
def test_a_prompt_that_makes_no_sense_is_refused_where_it_is_made(settings, message):
    with pytest.raises(ValueError, match=f"prompt of object 4 on frame 2: {message}"):
        ObjectPrompt(4, 2, **settings)


def test_padding_points_are_taken(model):
    # an object of fewer pixels than points asked for
    prompt = ObjectPrompt(1, 0, points=[(5.0, 5.0), (0.0, 0.0)], labels=[1, -1])
    assert len(list(model.track(video(2), [prompt]))) == 2
