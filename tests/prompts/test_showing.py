"""Random first prompts: where they lie, what they depend on, and empty masks."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sam2_video.config import PromptConfig
from sam2_video.prompts import draw_prompts

MASKS = PromptConfig(mask=1.0, box=0.0, point=0.0)
BOXES = PromptConfig(mask=0.0, box=1.0, point=0.0)
POINTS = PromptConfig(mask=0.0, box=0.0, point=1.0)


def make_targets(objects=3, frames=2, height=24, width=32):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 2, (objects, frames, height, width), generator=generator).byte()


def test_points_fall_on_every_pixel_of_the_object_equally_often():
    targets = torch.zeros(1, 1, 8, 10, dtype=torch.uint8)
    targets[0, 0, 1, 2] = targets[0, 0, 5, 9] = targets[0, 0, 7, 0] = 1
    targets[0, 0, 3, 3] = 255
    many = replace(POINTS, num_points=3000)
    (prompt,) = draw_prompts(targets, (0,), (0,), (7,), many)
    places, counts = prompt.points[0].unique(dim=0, return_counts=True)
    assert places.tolist() == [[0, 7], [2, 1], [9, 5]]
    assert counts.min() > 900
    assert (prompt.labels == 1).all()


@given(st.integers(0, 2**63 - 1))
@settings(max_examples=50, deadline=None)
def test_every_seed_gives_points_on_the_object(seed):
    targets = make_targets()
    (prompt,) = draw_prompts(targets, (1, 1, 1), (0, 0, 0), (seed,), replace(POINTS, num_points=5))
    x, y = prompt.points.long().unbind(-1)
    rows = torch.arange(3)[:, None].expand(x.shape)
    assert (targets[rows, 1, y, x] == 1).all()


def test_a_tight_box_spans_the_first_and_the_last_pixel():
    targets = torch.zeros(1, 1, 24, 32, dtype=torch.uint8)
    targets[0, 0, 3:9, 5:20] = 1
    (prompt,) = draw_prompts(targets, (0,), (0,), (0,), replace(BOXES, box_noise=0.0))
    assert prompt.points.tolist() == [[[5, 3], [19, 8]]]
    assert prompt.labels.tolist() == [[2, 3]]


@given(st.integers(0, 2**32), st.sampled_from([0.1, 0.4, 3.0]))
@settings(max_examples=50, deadline=None)
def test_noisy_boxes_stay_near_the_object_inside_the_image_and_upright(seed, noise):
    targets = torch.zeros(1, 1, 200, 640, dtype=torch.uint8)
    targets[0, 0, 50:101, 20:621] = 1
    (prompt,) = draw_prompts(targets, (0,), (0,), (seed,), replace(BOXES, box_noise=noise))
    (x0, y0), (x1, y1) = prompt.points[0].tolist()
    limit_y = min(50 * noise, 20.0)
    assert 0 <= x0 <= 40  # never more than 20 pixels
    assert 600 <= x1 <= 639
    assert abs(y0 - 50) <= limit_y + 1e-4
    assert abs(y1 - 100) <= limit_y + 1e-4


def test_corners_that_noise_would_swap_are_put_in_order():
    targets = torch.zeros(1, 1, 20, 20, dtype=torch.uint8)
    targets[0, 0, 9:11, 9:11] = 1
    for seed in range(20):
        (prompt,) = draw_prompts(targets, (0,), (0,), (seed,), replace(BOXES, box_noise=8.0))
        assert (prompt.points[:, 0] <= prompt.points[:, 1]).all()
        assert prompt.points.min() >= 0
        assert prompt.points.max() <= 19


def test_a_mask_prompt_is_the_object_without_ignored_pixels():
    targets = make_targets(objects=1)
    targets[0, 1, 0] = 255
    (prompt,) = draw_prompts(targets, (1,), (0,), (0,), MASKS)
    assert torch.equal(prompt.masks, (targets[:, 1] == 1).float())
    assert prompt.points is None
    assert prompt.frame == 1


@pytest.mark.parametrize("setting", [BOXES, replace(POINTS, num_points=3)])
def test_an_empty_mask_gives_padding_and_leaves_other_objects_alone(setting):
    targets = make_targets(objects=2)
    (full,) = draw_prompts(targets, (0, 0), (0, 0), (3,), setting)
    targets[1, 0] = 255
    (prompt,) = draw_prompts(targets, (0, 0), (0, 0), (3,), setting)
    assert (prompt.labels[1] == -1).all()
    assert (prompt.points[1] == 0).all()
    assert torch.equal(prompt.points[0], full.points[0])
    assert torch.equal(prompt.labels[0], full.labels[0])


def test_a_clip_has_one_kind_and_objects_are_grouped_by_frame_and_kind():
    targets = make_targets(objects=5, frames=3)
    frames, clips = (0, 2, 0, 2, 2), (0, 0, 1, 1, 1)
    setting = PromptConfig(mask=0.5, box=0.5, point=0.0)
    seeds = (1, 3)
    prompts = draw_prompts(targets, frames, clips, seeds, setting)
    assert sorted(row for prompt in prompts for row in prompt.objects) == [0, 1, 2, 3, 4]
    for prompt in prompts:
        assert {frames[row] for row in prompt.objects} == {prompt.frame}
    kinds = {row: prompt.masks is None for prompt in prompts for row in prompt.objects}
    assert kinds[0] == kinds[1] != kinds[2] == kinds[3] == kinds[4]


def test_kinds_follow_their_shares():
    targets = make_targets(objects=1)
    shares = PromptConfig(mask=0.5, box=0.25, point=0.25)
    found = [draw_prompts(targets, (0,), (0,), (seed,), shares)[0] for seed in range(800)]
    num_masks = sum(prompt.masks is not None for prompt in found)
    num_boxes = sum(prompt.labels is not None and prompt.labels.shape[1] == 2 for prompt in found)
    assert 340 < num_masks < 460
    assert 150 < num_boxes < 250


@pytest.mark.parametrize("setting", [BOXES, POINTS])
def test_adding_a_clip_changes_nobody_elses_prompts(setting):
    targets = make_targets(objects=3)
    (alone,) = draw_prompts(targets[1:], (0, 0), (0, 0), (11,), setting)
    (joined,) = draw_prompts(targets, (0, 0, 0), (0, 1, 1), (5, 11), setting)
    assert torch.equal(joined.points[1:], alone.points)


@pytest.mark.parametrize("shares", [(0.0, 0.0, 0.0), (1.0, -0.5, 0.5)])
def test_impossible_shares_are_refused(shares):
    mask, box, point = shares
    with pytest.raises(ValueError, match="prompts: mask, box and point"):
        draw_prompts(
            make_targets(1), (0,), (0,), (0,), PromptConfig(mask=mask, box=box, point=point)
        )
