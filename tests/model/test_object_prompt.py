"""How objects are shown: in pixels of their frame, and refused where it makes no sense."""

import pytest
import torch
from torch.nn import functional as F

from sam2_video.model.object_prompt import ObjectPrompt
from sam2_video.model.sam2 import SAM2Model
from tests.model.micro import (
    micro_model,
    relative,
    squares,
    video,
)


@pytest.fixture(scope="module")
def model() -> SAM2Model:
    return micro_model()


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


def test_a_mask_of_another_size_than_its_frame_is_refused(model):
    prompt = ObjectPrompt(1, 0, mask=torch.ones(32, 64))
    message = r"object 1 on frame 0: mask of size \(32, 64\); expected the frame's \(64, 64\)"
    with pytest.raises(ValueError, match=message):
        list(model.track(video(2), [prompt]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "got no mask, box or points; expected a mask, or a box, points or both"),
        (
            {"mask": torch.ones(4, 4), "box": (0.0, 0.0, 1.0, 1.0)},
            "got a mask beside a box or points",
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


def test_a_box_and_points_stand_in_one_prompt(model):
    box, points = (7.0, 5.0, 34.0, 41.0), [(20.0, 20.0), (60.0, 60.0)]
    (alone,) = model.track(video(1), [ObjectPrompt(1, 0, box=box)])
    (clicked,) = model.track(video(1), [ObjectPrompt(1, 0, points=points, labels=[1, 0])])
    (joined,) = model.track(video(1), [ObjectPrompt(1, 0, None, box, points, [1, 0])])
    assert relative(joined.mask_logits, alone.mask_logits) > 1e-3
    assert relative(joined.mask_logits, clicked.mask_logits) > 1e-3


def test_padding_points_are_taken(model):
    # an object of fewer pixels than points asked for
    prompt = ObjectPrompt(1, 0, points=[(5.0, 5.0), (0.0, 0.0)], labels=[1, -1])
    assert len(list(model.track(video(2), [prompt]))) == 2
