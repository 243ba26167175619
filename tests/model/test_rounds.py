"""Clicks in rounds on one frame: Meta's predictor called several times, given or simulated."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from sam2_video.model import rounds
from sam2_video.model.architecture import MICRO, find_architecture
from sam2_video.model.object_prompt import ObjectPrompt
from sam2_video.model.sam2 import SAM2Model
from tests.model.double import in_double
from tests.model.micro import micro_model, video
from tests.model.tracked import MIXED, assert_alike, said
from tests.model.video_cases import (
    VideoCase,
    ball_box,
    ball_points,
    ball_video,
    lively_model,
    measure,
    our_tracks,
)
from tests.model.video_oracle import build_predictor, meta_tracks, unrounded_memory

SIDE = 64
SIZE = (50, 70)
NUM_CLICKS = 3
WIDE = replace(MICRO, name="wide", hidden_size=128, fuser_size=512)
# six orders below what fp32 can tell
TOLERANCE = 1e-11


@pytest.fixture(scope="module")
def model() -> SAM2Model:
    return micro_model()


@pytest.fixture(scope="module")
def wide() -> tuple[SAM2Model, Any]:
    """A small network and Meta's predictor with its weights, in float64."""
    with in_double():
        model = lively_model(WIDE, SIDE)
        return model, build_predictor(model)


@pytest.fixture
def exact() -> Iterator[None]:
    """Leave only differences in meaning."""
    with in_double(), unrounded_memory():
        yield


def refined(size: tuple[int, int]) -> dict[str, tuple[ObjectPrompt, ...]]:
    """Prompts in rounds, each of one object of its own."""
    first, later = (ball_video(6, size)[1][frame] for frame in (0, 3))
    inside, beside, other = ball_points(first)
    return {
        "box, then two clicks": (
            ObjectPrompt(1, 0, box=ball_box(first)),
            ObjectPrompt(1, 0, points=[beside], labels=[0]),
            ObjectPrompt(1, 0, points=[other], labels=[1]),
        ),
        "click, then two at once": (
            ObjectPrompt(2, 0, points=[inside], labels=[1]),
            ObjectPrompt(2, 0, points=[beside, other], labels=[0, 1]),
        ),
        "a late object": (
            ObjectPrompt(3, 3, points=ball_points(later)[:1], labels=[1]),
            ObjectPrompt(3, 3, points=ball_points(later)[1:2], labels=[0]),
        ),
        "two frames": (
            ObjectPrompt(4, 0, mask=first),
            ObjectPrompt(4, 3, box=ball_box(later)),
            ObjectPrompt(4, 3, points=ball_points(later)[1:2], labels=[0]),
        ),
    }


@pytest.mark.usefixtures("exact")
def test_rounds_given_are_metas_calls_one_after_another(wide):
    model, predictor = wide
    prompts = refined(SIZE)
    case = VideoCase("rounds", 6, tuple(p for group in prompts.values() for p in group), size=SIZE)
    ours = our_tracks(model, case)
    difference = measure(ours, meta_tracks(predictor, case.frames, case.prompts))
    assert difference.least_iou == 1
    assert difference.largest_error < TOLERANCE
    assert difference.score_error < TOLERANCE


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("kind", ["box", "point"])
def test_simulated_clicks_are_the_same_clicks_given_to_meta(wide, kind, monkeypatch):
    model, predictor = wide
    prompt = simulated(SIZE, kind)
    clicked = watch_clicks(monkeypatch)
    case = VideoCase("simulated", 5, (prompt,), size=SIZE)
    ours = our_tracks(model, case)
    assert len(clicked) == NUM_CLICKS
    given = [replace(prompt, truth=None, num_clicks=0), *(to_prompt(c, prompt) for c in clicked)]
    difference = measure(ours, meta_tracks(predictor, case.frames, given))
    assert difference.least_iou == 1
    # clicks are rounded when they are scaled to the video and back
    assert difference.largest_error < 1e-5
    plain = our_tracks(model, replace(case, prompts=tuple(given[:1])))
    assert measure(ours, plain).largest_error > 1e-3


def test_the_masks_of_tiny_after_simulated_clicks_are_those_of_metas_predictor(monkeypatch):
    model = lively_model(find_architecture("sam2.1-tiny"))
    predictor = build_predictor(model)
    size = (128, 128)
    prompt = simulated(size, "box")
    clicked = watch_clicks(monkeypatch)
    case = VideoCase("simulated", 4, (prompt,), size=size)
    ours = our_tracks(model, case)
    given = [replace(prompt, truth=None, num_clicks=0)]
    given += [to_prompt(click, prompt, size, 128) for click in clicked]
    difference = measure(ours, meta_tracks(predictor, case.frames, given))
    assert len(clicked) == NUM_CLICKS
    assert difference.least_iou >= 0.999


def simulated(size: tuple[int, int], kind: str) -> ObjectPrompt:
    mask = ball_video(1, size)[1][0]
    shown = {"box": ball_box(mask)} if kind == "box" else {}
    if kind == "point":
        shown = {"points": ball_points(mask)[:1], "labels": [1]}
    return ObjectPrompt(7, 0, **shown, truth=mask.byte(), num_clicks=NUM_CLICKS)


def watch_clicks(monkeypatch) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return a list to which each click of an object is appended: its point and its label."""
    clicked, click = [], rounds.centre_click

    def watched(targets, mask_logits):
        points, labels = click(targets, mask_logits)
        clicked.append((points[0, 0], labels[0, 0]))
        return points, labels

    monkeypatch.setattr(rounds, "centre_click", watched)
    return clicked


def to_prompt(click, prompt: ObjectPrompt, size=SIZE, side=SIDE) -> ObjectPrompt:
    """Return a click on the model's input as one on the video."""
    (x, y), label = click[0].tolist(), int(click[1])
    point = (x * size[1] / side, y * size[0] / side)
    return ObjectPrompt(prompt.object_id, prompt.frame, points=[point], labels=[label])


def test_objects_of_different_rounds_do_not_meet(model):
    prompts = [*MIXED, ObjectPrompt(4, 2, points=[(9.0, 40.0)], labels=[0])]
    truth = torch.zeros(64, 64, dtype=torch.uint8)
    truth[10:30, 8:30] = 1
    prompts[1] = replace(prompts[1], truth=truth, num_clicks=2)
    together = said(list(model.track(video(4), prompts)))
    for name in (3, 4, 5):
        alone = [prompt for prompt in prompts if prompt.object_id == name]
        expected = {key: x for key, x in together.items() if key[0] == name}
        assert_alike(said(list(model.track(video(4), alone))), expected)


def test_objects_that_are_clicked_together_are_each_clicked_for_themselves(model):
    frame, boxes = video(3), [(7.0, 5.0, 34.0, 41.0), (20.0, 8.0, 60.0, 50.0)]
    plain = [ObjectPrompt(name, 0, box=box) for name, box in enumerate([*boxes, *boxes], 1)]
    first = next(model.track(frame, plain))
    content = (first.enlarge(slice(3, 4))[0] > 0).byte()
    truths = [torch.zeros(64, 64, dtype=torch.uint8) for _ in range(2)]
    truths[0][10:30, 8:30] = truths[1][30:60, 2:12] = 1
    prompts = [
        replace(plain[0], truth=truths[0], num_clicks=2),
        replace(plain[1], truth=truths[1], num_clicks=2),
        plain[2],
        replace(plain[3], truth=content, num_clicks=2),
    ]
    together = said(list(model.track(frame, prompts)))
    for prompt in prompts:
        expected = {key: x for key, x in together.items() if key[0] == prompt.object_id}
        assert_alike(said(list(model.track(frame, [prompt]))), expected)
    assert not torch.allclose(together[1, 0], together[3, 0])
    assert not torch.allclose(together[2, 0], together[4, 0])


def test_where_nothing_is_wrong_the_user_is_content(model):
    prompt = ObjectPrompt(1, 0, points=[(24.0, 20.0)], labels=[1])
    (plain,) = model.track(video(1), [prompt])
    truth = (plain.enlarge(slice(None))[0] > 0).byte()
    (clicked,) = model.track(video(1), [replace(prompt, truth=truth, num_clicks=2)])
    assert torch.equal(clicked.mask_logits, plain.mask_logits)
    wrong = 1 - truth
    (clicked,) = model.track(video(1), [replace(prompt, truth=wrong, num_clicks=2)])
    assert not torch.equal(clicked.mask_logits, plain.mask_logits)


def test_ignored_pixels_are_not_clicked(model):
    prompt = ObjectPrompt(1, 0, box=(7.0, 5.0, 34.0, 41.0))
    (plain,) = model.track(video(1), [prompt])
    unknown = torch.full((64, 64), 255, dtype=torch.uint8)
    (clicked,) = model.track(video(1), [replace(prompt, truth=unknown, num_clicks=1)])
    assert torch.equal(clicked.mask_logits, plain.mask_logits)


CLICK = {"points": [(9.0, 9.0)], "labels": [1]}
BOX = {"box": (7.0, 5.0, 34.0, 41.0)}
MASK = {"mask": torch.ones(64, 64)}
TRUTH = {"truth": torch.ones(64, 64, dtype=torch.uint8), "num_clicks": 1}


def test_clicks_are_simulated_after_those_that_were_given(model, monkeypatch):
    clicked = watch_clicks(monkeypatch)
    last = ObjectPrompt(1, 0, **CLICK, **(TRUTH | {"num_clicks": 2}))
    list(model.track(video(1), [ObjectPrompt(1, 0, **BOX), last]))
    assert len(clicked) == 2


@pytest.mark.parametrize(
    ("first", "second"), [(MASK, CLICK), (CLICK, MASK), (CLICK, BOX), (BOX | TRUTH, CLICK)]
)
def test_what_cannot_correct_is_refused(model, first, second):
    message = r"frame 0: got several prompts for each of the objects \[7\]; expected a mask alone"
    prompts = [ObjectPrompt(7, 0, **first), ObjectPrompt(3, 0, **BOX), ObjectPrompt(7, 0, **second)]
    with pytest.raises(ValueError, match=message):
        list(model.track(video(2), prompts))


@pytest.mark.parametrize(
    ("settings", "got"),
    [
        (MASK | TRUTH, "1 clicks and a mask"),
        (BOX | {"num_clicks": 2}, "2 clicks and no truth"),
        (BOX | TRUTH | {"num_clicks": -1}, "-1 clicks; expected 0 or more"),
    ],
)
def test_clicks_that_cannot_be_simulated_are_refused_where_they_are_asked_for(settings, got):
    message = f"object 4 on frame 2: got {got}"
    with pytest.raises(ValueError, match=message):
        ObjectPrompt(4, 2, **settings)


def test_a_truth_of_another_size_than_the_frame_is_refused(model):
    wrong = {"truth": torch.ones(64, 32, dtype=torch.uint8), "num_clicks": 1}
    message = (
        r"prompt of object 7 on frame 0: truth of size \(64, 32\); expected the frame's \(64, 64\)"
    )
    with pytest.raises(ValueError, match=message):
        list(model.track(video(2), [ObjectPrompt(7, 0, **BOX, **wrong)]))
