"""Whole videos, frame by frame: the same as the unroll, with bounded memory and late objects."""

import itertools
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from sam2_video.model import stream
from sam2_video.model.object_prompt import ObjectPrompt
from sam2_video.model.sam2 import SAM2Model
from sam2_video.model.stream import StreamTracker
from sam2_video.pixels import prepare_frames
from tests.model.micro import (
    SIZE,
    box_prompt,
    judge_presence,
    micro_model,
    point_prompt,
    relative,
    squares,
    video,
)
from tests.model.tracked import MIXED, assert_alike, said


@pytest.fixture(scope="module")
def model() -> SAM2Model:
    return micro_model()


@pytest.fixture
def exact(monkeypatch) -> None:
    """Keep memory in fp32: rounded to bf16, the last digit of fp32 decides about the third."""
    monkeypatch.setattr(stream, "MEMORY_DTYPE", torch.float32)


# longer than memory; and short, where the age of pointers counts by the video's length
@pytest.mark.parametrize("num_frames", [20, 6])
@pytest.mark.usefixtures("exact")
def test_a_clicked_video_is_tracked_as_a_clip_is_in_evaluation(model, num_frames):
    frames = video(num_frames)
    streamed = said(list(model.track(frames, MIXED[1:4])))
    prompts = [
        replace(box_prompt(0, (1,)), objects=(0,)),
        replace(point_prompt(2, (3,)), objects=(1,)),
        replace(point_prompt(2, (4,), num_points=2), objects=(2,)),
    ]
    # the box of object 1, the points of objects 3 and 4
    assert prompts[0].points is not None
    assert prompts[0].points.flatten().tolist() == [7, 5, 34, 41]
    with torch.no_grad():
        outputs = model(
            prepare_frames(torch.stack(frames), SIZE)[None], torch.zeros(3).long(), prompts
        )
    names = dict(enumerate([3, 5, 4]))
    expected = {}
    for output in outputs:
        logits = F.interpolate(output.best_mask_logits[None], SIZE, mode="bilinear")[0]
        for row, name in enumerate(output.objects):
            score = output.object_score_logits[row, None]
            expected[names[name], output.frame] = torch.cat([logits[row].flatten(), score])
    assert_alike(streamed, expected)


def test_a_given_mask_comes_back_at_the_decoders_resolution(model):
    given = squares(1)
    (frame,) = model.track(video(1), MIXED[:1])
    small = F.interpolate(20 * given[None] - 10, (16, 16), mode="bilinear", antialias=True)
    expected = F.interpolate(small, SIZE, mode="bilinear")[0]
    torch.testing.assert_close(frame.mask_logits, expected)
    assert frame.object_scores.tolist() == [10.0]


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


def test_frames_before_the_first_prompt_are_empty(model):
    frames = list(model.track(video(2), [replace(MIXED[0], frame=1)]))
    assert frames[0].object_ids == ()
    assert frames[0].mask_logits.shape == (0, *SIZE)
    assert frames[0].object_scores.shape == (0,)
    assert frames[1].object_ids == (7,)


@pytest.mark.parametrize("prompt", MIXED, ids=lambda prompt: str(prompt.object_id))
@pytest.mark.usefixtures("exact")
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
            features = model.encode(prepare_frames(frame[None], SIZE))
            tracker.step(index, features, SIZE, prompts)
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
    with_memory = list(model.track(video(2), MIXED[:1]))
    assert torch.equal(frames[0].mask_logits, with_memory[0].mask_logits)


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
