"""Correction clicks in the unroll: each object as if alone, and what the clicks change."""

from dataclasses import replace

import pytest
import torch

from sam2_video.model import correction
from sam2_video.model.memory import MemoryBank
from sam2_video.model.sam2 import SAM2Model
from sam2_video.model.tracker import track_frame
from sam2_video.model.unroll import form_cohorts, select_objects
from sam2_video.structures import Corrections
from tests.model.micro import (
    box_prompt,
    mask_prompt,
    micro_model,
    noise,
    point_prompt,
    relative,
    squares,
)

NUM_FRAMES = 4
CLICKS = 2
OBJECT_CLIP = torch.tensor([0, 0, 1, 1])
PROMPTS = (box_prompt(0, (0,)), point_prompt(0, (1, 2)), point_prompt(1, (3,)), box_prompt(3, (2,)))


def corrections_on(frame, objects, clicks=CLICKS):
    """Correct objects towards their squares; what is drawn depends on name and frame alone."""
    generators = [torch.Generator().manual_seed(100 * frame + name) for name in objects]
    places = torch.stack([torch.rand(clicks, generator=generator) for generator in generators])
    truth = squares(max(objects) + 1)[list(objects)].byte().roll(frame, 2)
    return Corrections(frame, tuple(objects), truth, places, places < 0.2)


CORRECTIONS = (
    corrections_on(0, (0, 1, 2)),
    corrections_on(1, (3,)),
    corrections_on(2, (1, 3)),
    corrections_on(3, (2,)),
)


@pytest.fixture(scope="module")
def model() -> SAM2Model:
    return micro_model()


@pytest.fixture(params=["training", "evaluation"])
def either_mode(model, request) -> SAM2Model:
    return model.train(request.param == "training")


@torch.no_grad()
def track(model, pixels, object_clip, prompts, corrections):
    """Return everything that was said of each (object, frame), one vector a click."""
    said = {}
    for output in model(pixels, object_clip, prompts, corrections=corrections):
        for row, name in enumerate(output.objects):
            values = (output.mask_logits[row], output.iou_predictions[row], output.pointers[row])
            score = output.object_score_logits[row, None]
            vector = torch.cat([*(value.flatten() for value in values), score])
            said.setdefault((name, output.frame), []).append(vector)
    return said


def chosen(given, rows):
    """Return prompts or corrections of some objects, renamed 0, 1, ... in the order of `rows`."""
    parts = []
    for part in given:
        index = [part.objects.index(row) for row in rows if row in part.objects]
        if index:
            names = tuple(rows.index(part.objects[i]) for i in index)
            parts.append(replace(select_objects(part, index), objects=names))
    return parts


def assert_same(found, expected, names):
    """Compare what was said, click by click; `names[i]` is the name in `expected` of object i."""
    wanted = {(name, frame) for name, frame in expected if name in names}
    assert {(names[name], frame) for name, frame in found} == wanted
    for (name, frame), vectors in found.items():
        for ours, theirs in zip(vectors, expected[names[name], frame], strict=True):
            assert relative(ours, theirs) < 1e-6, (name, frame)


def test_a_corrected_frame_says_one_thing_more_for_each_click(either_mode):
    said = track(either_mode, noise(2, NUM_FRAMES), OBJECT_CLIP, PROMPTS, CORRECTIONS)
    corrected = {(name, part.frame) for part in CORRECTIONS for name in part.objects}
    for name, first in enumerate([0, 0, 0, 1]):
        for frame in range(first, NUM_FRAMES):
            expected = 1 + CLICKS if (name, frame) in corrected else 1
            assert len(said[name, frame]) == expected, (name, frame)


def test_shuffling_objects_permutes_what_is_said_after_every_click(either_mode):
    pixels, rows = noise(2, NUM_FRAMES), [3, 1, 0, 2]
    before = track(either_mode, pixels, OBJECT_CLIP, PROMPTS, CORRECTIONS)
    after = track(
        either_mode,
        pixels,
        OBJECT_CLIP[rows],
        chosen(PROMPTS, rows)[::-1],
        chosen(CORRECTIONS, rows)[::-1],
    )
    assert_same(after, before, rows)


@pytest.mark.parametrize("rows", [[0, 1], [2]])
def test_other_clips_and_objects_change_nobody_elses_clicks(either_mode, rows):
    pixels = noise(2, NUM_FRAMES)
    together = track(either_mode, pixels, OBJECT_CLIP, PROMPTS, CORRECTIONS)
    clip = int(OBJECT_CLIP[rows[0]])
    alone = track(
        either_mode,
        pixels[clip, None],
        torch.zeros(len(rows), dtype=torch.long),
        chosen(PROMPTS, rows),
        chosen(CORRECTIONS, rows),
    )
    assert_same(alone, together, rows)


def test_memory_is_of_what_was_said_last(either_mode):
    pixels, object_clip = noise(1, NUM_FRAMES), torch.zeros(1, dtype=torch.long)
    prompts = [point_prompt(0, (0,))]
    plain = track(either_mode, pixels, object_clip, prompts, [])
    corrected = track(either_mode, pixels, object_clip, prompts, [corrections_on(2, (0,))])
    # tracked as without corrections until the first click, and then not
    for frame in (0, 1, 2):
        assert relative(corrected[0, frame][0], plain[0, frame][0]) < 1e-6
    one_click_less = corrections_on(2, (0,))
    one_click_less = replace(
        one_click_less,
        places=one_click_less.places[:, :-1],
        is_from_truth=one_click_less.is_from_truth[:, :-1],
    )
    less = track(either_mode, pixels, object_clip, prompts, [one_click_less])
    assert relative(less[0, 2][-1], corrected[0, 2][-2]) < 1e-6
    assert relative(corrected[0, 3][0], plain[0, 3][0]) > 1e-5
    assert relative(corrected[0, 3][0], less[0, 3][0]) > 1e-5


@torch.no_grad()
def test_a_corrected_frame_is_a_conditioning_frame(model):
    features = model.encode(noise(1, 1)[0])
    for given, is_conditioning in ((corrections_on(0, (0,)), True), (None, False)):
        _, entry = track_frame(
            model.network, features, MemoryBank(), 0, (0,), None, 2, True, corrections=given
        )
        assert entry.is_conditioning == is_conditioning


def test_the_decoder_sees_all_clicks_and_the_mask_that_was_said_last(model, monkeypatch):
    model.train()
    calls = []

    def decode_and_tell(*inputs):
        calls.append((*inputs, decode(*inputs)))
        return calls[-1][-1]

    decode = correction.decode
    monkeypatch.setattr(correction, "decode", decode_and_tell)
    given = corrections_on(0, (0, 1))
    said = model(noise(1, 1), OBJECT_CLIP[:2], [point_prompt(0, (0, 1))], corrections=[given])
    assert len(calls) == CLICKS
    for number, call in enumerate(calls):
        points, labels, mask, is_multimask = call[3:7]
        assert points.shape == (2, 2 + number, 2)
        assert labels[:, 0].tolist() == [1, 1]
        torch.testing.assert_close(mask.squeeze(1), said[number].best_mask_logits, rtol=0, atol=0)
        assert mask.requires_grad
        assert not is_multimask
    # a click on a tracked frame is its first point: three masks are asked for, then one
    calls.clear()
    tracked = corrections_on(1, (0, 1))
    model(noise(1, 2), OBJECT_CLIP[:2], [mask_prompt(0, (0, 1))], corrections=[tracked])
    assert [call[6] for call in calls] == [True, False]


def test_cohorts_share_corrected_frames_as_well():
    cohorts = form_cohorts(PROMPTS, CORRECTIONS)
    assert [(cohort.objects, cohort.frames, cohort.corrected) for cohort in cohorts] == [
        ((0,), (0,), (0,)),
        ((1,), (0,), (0, 2)),
        ((2,), (0, 3), (0, 3)),
        ((3,), (1,), (1, 2)),
    ]
    assert cohorts[2].order(5) == [0, 3, 1, 2, 4]
    found = cohorts[1].corrections_on(2, (1,))
    assert found is not None
    assert torch.equal(found.places, CORRECTIONS[2].places[:1])
    assert cohorts[1].corrections_on(3, (1,)) is None


def test_a_given_mask_is_not_corrected(model):
    with pytest.raises(AssertionError, match="a given mask is not corrected"):
        track(
            model, noise(1, 2), OBJECT_CLIP[:1], [mask_prompt(0, (0,))], [corrections_on(0, (0,))]
        )


def test_a_frame_corrected_by_no_click_says_what_it_said(model):
    given = corrections_on(0, (0,), clicks=0)
    said = track(model, noise(1, 1), OBJECT_CLIP[:1], [box_prompt(0, (0,))], [given])
    assert len(said[0, 0]) == 1
