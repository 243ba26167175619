"""Whole videos: every way through them, chunks of objects, and what is refused."""

import threading

import pytest
import torch

from sam2_video.inference import FrameMasks, track
from sam2_video.model.sam2 import SAM2Model
from sam2_video.model.stream import ObjectPrompt
from tests.made_up import HEIGHT, WIDTH, rectangle, tracked_frame

LENGTH = 7


@pytest.fixture(scope="module")
def model():
    return SAM2Model.load(None, "micro", (64, 64))


@pytest.fixture(scope="module")
def frames():
    generator = torch.Generator().manual_seed(0)
    shape = (LENGTH, 3, HEIGHT, WIDTH)
    return list(torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator))


PROMPTS = [
    ObjectPrompt(7, 0, mask=rectangle(5, 8)),
    ObjectPrompt(2, 0, mask=rectangle(20, 30)),
    ObjectPrompt(5, 0, box=(4.0, 6.0, 30.0, 33.0)),
    ObjectPrompt(11, 0, mask=rectangle(2, 30)),
    ObjectPrompt(6, 0, box=(20.0, 16.0, 50.0, 33.0)),
    ObjectPrompt(9, 2, points=[[12.0, 9.0]], labels=[1]),
    ObjectPrompt(4, 2, mask=rectangle(15, 15)),
    ObjectPrompt(7, 4, points=[[12.0, 9.0], [40.0, 30.0]], labels=[1, 0]),
]


def said(outputs):
    return [(f.index, f.object_ids, f.mask_logits, f.object_scores) for f in outputs]


def assert_alike(outputs, others, tolerance=1e-6):
    assert len(outputs) == len(others)
    for (i, names, logits, scores), (j, other_names, other_logits, other_scores) in zip(
        outputs, others, strict=True
    ):
        assert (i, names) == (j, other_names)
        scale = max(1.0, float(other_logits.abs().amax())) if len(other_logits) else 1.0
        assert len(names) == 0 or (logits - other_logits).abs().amax() <= tolerance * scale
        torch.testing.assert_close(scores, other_scores, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("direction", ["forward", "reverse", "both"])
@pytest.mark.parametrize("start", [None, 3])
def test_decoding_ahead_changes_nothing_in_any_direction(model, frames, direction, start):
    settings = {"start": start, "direction": direction}
    expected = said(model.track(frames, PROMPTS, **settings))
    outputs = said(track(model, frames, PROMPTS, **settings))
    assert_alike(outputs, expected, tolerance=0)
    again = said(track(model, torch.stack(frames), PROMPTS, frames_ahead=0, **settings))
    assert_alike(again, expected, tolerance=0)


def test_a_stream_is_tracked_like_the_model_does(model, frames):
    expected = said(model.track(iter(frames), PROMPTS))
    assert_alike(said(track(model, iter(frames), PROMPTS)), expected, tolerance=0)


@pytest.mark.parametrize("max_objects", [1, 2, 3])
@pytest.mark.parametrize("direction", ["forward", "both"])
def test_objects_in_chunks_are_tracked_as_all_at_once(model, frames, max_objects, direction):
    settings = {"start": 1, "direction": direction} if direction == "both" else {}
    expected = said(track(model, frames, PROMPTS, max_objects=99, **settings))
    outputs = said(track(model, frames, PROMPTS, max_objects=max_objects, **settings))
    assert_alike(outputs, expected)


def test_never_more_objects_run_together_than_allowed(model, frames, monkeypatch):
    sizes = []
    layer = model.network.mask_decoder.transformer.layers[0].self_attn.q_proj
    handle = layer.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    list(track(model, frames, PROMPTS, max_objects=2))
    handle.remove()
    assert max(sizes) == 2


def test_closing_ends_the_decoding(model, frames):
    outputs = track(model, frames, PROMPTS)
    next(outputs)
    assert any(t.name.startswith("decoder") for t in threading.enumerate())
    outputs.close()
    assert not any(t.name.startswith("decoder") for t in threading.enumerate())


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (
            ObjectPrompt(3, 2, points=[[70.0, 20.0]], labels=[1]),
            r"the point \(70, 20\) lies outside",
        ),
        (ObjectPrompt(3, 0, points=[[5.0, -1.0]], labels=[0]), r"the point \(5, -1\) lies outside"),
        (
            ObjectPrompt(3, 0, box=(0.0, 0.0, float(WIDTH), HEIGHT + 1.0)),
            r"the box corner \(56, 41\)",
        ),
        (ObjectPrompt(3, 0, mask=torch.ones(4, 4)), "mask of size"),
        (ObjectPrompt(3, LENGTH, mask=rectangle(1, 1)), "the video has 7 frames"),
    ],
)
def test_a_prompt_that_is_not_on_its_frame_is_a_line(model, frames, prompt, message):
    with pytest.raises(ValueError, match=message):
        list(track(model, frames, [prompt]))


def test_a_box_of_the_whole_frame_and_padding_are_on_it(model, frames):
    prompt = ObjectPrompt(
        3, 0, box=(0.0, 0.0, float(WIDTH), float(HEIGHT)), points=[[-1.0, -1.0]], labels=[-1]
    )
    assert len(list(track(model, frames[:2], [prompt]))) == 2


def test_the_highest_logit_above_zero_wins_and_of_two_alike_the_lower_id():
    place = torch.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    logits = {n: torch.where(place % 11 >= n, 1.0 * n, -1.0) for n in range(1, 11)}
    # one that is looked at together with its equal, and one that is not
    logits[300], logits[400] = logits[10], logits[5]
    masks = FrameMasks(tracked_frame(0, logits), "davis")
    assert torch.equal(masks.labels.long(), place % 11)
    assert torch.equal(masks.of(4), place % 11 == 4)
    assert not (masks.of(300) | masks.of(400)).any()
    assert not masks.of(12).any()
    apart = FrameMasks(tracked_frame(0, logits), "objects")
    assert torch.equal(apart.of(300), place % 11 >= 10)
    assert torch.equal(apart.of(2), place % 11 >= 2)
