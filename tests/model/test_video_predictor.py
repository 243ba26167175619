"""Whole videos against Meta's video predictor and transformers' video session."""

import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sam2_video.model.architecture import MICRO, find_architecture
from sam2_video.model.object_prompt import ObjectPrompt
from sam2_video.model.sam2 import SAM2Model
from sam2_video.pixels import PIXEL_MEAN, PIXEL_STD, prepare_frames
from tests.model.double import in_double
from tests.model.video_cases import (
    HIDDEN,
    VideoCase,
    ball_points,
    ball_video,
    change,
    lively_model,
    measure,
    our_tracks,
    video_cases,
)
from tests.model.video_oracle import (
    build_predictor,
    corrected_mask_prompts,
    meta_prompt,
    meta_propagate,
    meta_session,
    meta_tracks,
    transformers_tracks,
    unrounded_memory,
)

SIDE = 64
# pointers are wider than memory, as in SAM 2 itself; transformers fails where they are not
WIDE = replace(MICRO, name="wide", hidden_size=128, fuser_size=512)
WIDE_2_0 = replace(WIDE, name="wide-2.0", has_pointer_time=False, has_occlusion_embedding=False)
# six orders below what fp32 can tell
TOLERANCE = 1e-11
CASES = {case.name: case for case in video_cases((SIDE, SIDE))}
OTHER_SIZES = [
    VideoCase(f"frames of {size}", 6, video_cases(size)[7].prompts[:1], size=size)
    for size in [(50, 70), (90, 40), (128, 128)]
]
GIVEN = "mask, the object disappears"
CLICKED = ["one click", "three clicks", "box and two clicks"]


@pytest.fixture(scope="module")
def wide() -> tuple[SAM2Model, Any]:
    """A small network and Meta's predictor with its weights, in float64."""
    with in_double():
        model = lively_model(WIDE, SIDE)
        return model, build_predictor(model)


@pytest.fixture(scope="module")
def tiny() -> tuple[SAM2Model, Any]:
    """SAM 2.1 tiny and Meta's predictor with its weights, as they are used."""
    model = lively_model(find_architecture("sam2.1-tiny"))
    return model, build_predictor(model)


@pytest.fixture
def exact() -> Iterator[None]:
    """Leave only differences in meaning."""
    with in_double(), unrounded_memory():
        yield


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("case", [*CASES.values(), *OTHER_SIZES], ids=lambda case: case.name)
def test_tracking_equals_metas_predictor_to_the_rounding_of_double_precision(wide, case):
    model, predictor = wide
    theirs = meta_tracks(predictor, case.frames, case.prompts, case.start, case.direction)
    difference = measure(our_tracks(model, case), theirs)
    assert difference.least_iou == 1
    assert difference.largest_error < TOLERANCE
    assert difference.score_error < TOLERANCE


@pytest.mark.usefixtures("exact")
def test_tracking_with_sam_2_equals_metas_predictor():
    model = lively_model(WIDE_2_0, SIDE)
    predictor = build_predictor(model)
    for name in (GIVEN, "both ways from frame 5, prompted around it"):
        case = CASES[name]
        theirs = meta_tracks(predictor, case.frames, case.prompts, case.start, case.direction)
        assert measure(our_tracks(model, case), theirs).largest_error < TOLERANCE


@pytest.mark.parametrize("number", [0, 1, 8, 12], ids=lambda i: video_cases()[i].name)
def test_the_masks_of_tiny_are_those_of_metas_predictor(tiny, number):
    model, predictor = tiny
    case = video_cases()[number]
    theirs = meta_tracks(predictor, case.frames, case.prompts, case.start, case.direction)
    difference = measure(our_tracks(model, case), theirs)
    assert difference.least_iou >= 0.999
    # both round memory to bf16, 2^-9 apart where they round apart
    assert difference.largest_error < 1e-3


def test_the_cases_show_an_object_that_disappears_and_masks_that_follow_memory(tiny):
    model, _ = tiny
    case = video_cases()[0]
    forgetful = our_tracks(model, case, is_memory_used=False)
    for key, found in our_tracks(model, case).items():
        if key[1] in HIDDEN:
            assert found.score < 0
            assert (found.logits == -1024).all()
        elif key[1]:
            assert found.score > 0
            assert 0.1 < float((found.logits > 0).float().mean()) < 0.9
            assert change(found, forgetful[key]) > 0.3


@pytest.mark.usefixtures("exact")
def test_what_was_shown_makes_a_difference_on_every_later_frame(wide):
    model, _ = wide
    case = CASES[GIVEN]
    moved = replace(case.prompts[0], mask=ball_video(9, case.size)[1][8])
    other = our_tracks(model, replace(case, prompts=(moved,)))
    for key, found in our_tracks(model, case).items():
        assert change(found, other[key]) > 1e-3 or key[1] in HIDDEN


@pytest.mark.usefixtures("exact")
def test_a_prompt_ahead_is_read_by_the_frames_before_it(wide):
    model, _ = wide
    case = CASES["prompted on frames 0 and 8"]
    knowing = our_tracks(model, case)
    ignorant = our_tracks(model, replace(case, prompts=case.prompts[:1]))
    for frame in range(1, 8):
        assert change(knowing[1, frame], ignorant[1, frame]) > 1e-3


@pytest.mark.skipif(
    importlib.util.find_spec("sam2") is not None
    and importlib.util.find_spec("sam2._C") is not None,
    reason="Meta's CUDA extension is compiled: its predictor fills small holes, ours does not",
)
@pytest.mark.usefixtures("exact")
def test_metas_filling_of_holes_does_nothing_without_its_cuda_extension(wide):
    model, predictor = wide
    case = CASES["one click"]
    plain = build_predictor(model, fill_hole_area=0)
    with_filling = meta_tracks(predictor, case.frames, case.prompts)
    for key, found in meta_tracks(plain, case.frames, case.prompts).items():
        assert torch.equal(with_filling[key].logits, found.logits)


@pytest.mark.usefixtures("exact")
def test_clicks_in_one_prompt_are_metas_clicks_in_one_call_not_in_several(wide):
    model, predictor = wide
    case = CASES["three clicks"]
    (clicks,) = case.prompts
    rounds = [
        replace(clicks, points=(clicks.points or ())[part], labels=(clicks.labels or ())[part])
        for part in (slice(1), slice(1, 3))
    ]
    # each call feeds the mask of the one before
    refined = meta_tracks(predictor, case.frames, rounds)
    assert measure(our_tracks(model, case), refined).largest_error > 1e-3
    ours = our_tracks(model, replace(case, prompts=tuple(rounds)))
    assert measure(ours, refined).largest_error < TOLERANCE


@pytest.mark.usefixtures("exact")
def test_a_correction_that_meta_is_given_after_tracking_needs_a_reset_to_be_a_prompt(wide):
    model, predictor = wide
    case = CASES["one click"]
    mask = ball_video(8, case.size)[1][5]
    correction = ObjectPrompt(3, 5, points=ball_points(mask)[:1], labels=[1])
    state = meta_session(predictor, case.frames)
    meta_prompt(predictor, state, case.prompts[0])
    meta_propagate(predictor, state)
    meta_prompt(predictor, state, correction)
    corrected = meta_propagate(predictor, state)
    ours = our_tracks(model, replace(case, prompts=(*case.prompts, correction)))
    assert measure(ours, corrected).largest_error > 1e-3
    predictor.reset_state(state)
    for prompt in (*case.prompts, correction):
        meta_prompt(predictor, state, prompt)
    assert measure(ours, meta_propagate(predictor, state)).largest_error < TOLERANCE


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("name", CLICKED)
def test_transformers_session_says_the_same_of_clicks(wide, name):
    model, _ = wide
    case = CASES[name]
    theirs = transformers_tracks(model, case.frames, case.prompts, case.start, case.direction)
    assert measure(our_tracks(model, case), theirs).largest_error < TOLERANCE


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("pointer", [False, True])
@pytest.mark.parametrize("memory", [False, True])
def test_transformers_session_takes_given_masks_differently_in_exactly_two_ways(
    wide, pointer, memory
):
    model, _ = wide
    case = CASES["prompted on frames 0 and 8"]
    with corrected_mask_prompts(pointer=pointer, memory=memory):
        theirs = transformers_tracks(model, case.frames, case.prompts, case.start, case.direction)
    error = measure(our_tracks(model, case), theirs).largest_error
    assert error < TOLERANCE if pointer and memory else error > 1e-4


def test_frames_are_resized_as_by_a_bilinear_antialiased_filter_and_normalised():
    frames, _ = ball_video(1, (100, 150))
    prepared = prepare_frames(frames[0][None], (64, 64))[0]
    picture = Image.fromarray(frames[0].permute(1, 2, 0).numpy())
    resized = np.array(picture.resize((64, 64), Image.Resampling.BILINEAR))
    expected = torch.from_numpy(resized).permute(2, 0, 1)
    mean, std = (torch.tensor(x)[:, None, None] for x in (PIXEL_MEAN, PIXEL_STD))
    # Pillow rounds to whole levels
    torch.testing.assert_close((prepared * std + mean) * 255, expected.float(), rtol=0, atol=1.01)


def test_frames_of_the_models_size_are_only_normalised():
    frames, _ = ball_video(1, (64, 96))
    mean, std = (torch.tensor(x)[:, None, None] for x in (PIXEL_MEAN, PIXEL_STD))
    expected = (frames[0] / 255 - mean) / std
    torch.testing.assert_close(prepare_frames(frames[0][None], (64, 96))[0], expected)
