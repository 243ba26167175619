"""J, F and Dice of one frame against hand-computed numbers and a plain implementation."""

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sam2_video.metrics import boundary_radius, score_frame
from sam2_video.metrics.frame import _disk
from tests.metrics.plain import plain_boundary, plain_scores


def blank(height, width):
    return np.zeros((height, width), dtype=bool)


def box(size, rows, columns):
    mask = blank(*size)
    mask[rows, columns] = True
    return mask


@pytest.mark.parametrize(
    ("size", "radius"),
    [((1, 1), 1), ((75, 100), 1), ((76, 100), 2), ((480, 854), 8), ((1080, 1920), 18)],
)
def test_tolerance_is_the_diagonal_times_eight_thousandths_rounded_up(size, radius):
    assert boundary_radius(size) == radius


def test_a_shifted_box_has_the_numbers_one_computes_by_hand():
    # 4x4 boxes, one pixel apart: they share 12 of 20 pixels. The frame's tolerance is 1 pixel:
    # all boundary pixels match.
    truth, prediction = (
        box((20, 20), slice(8, 12), slice(8, 12)),
        box((20, 20), slice(8, 12), slice(9, 13)),
    )
    score = score_frame(prediction, truth)
    assert (score.j, score.f, score.dice) == (12 / 20, 1.0, 24 / 32)
    assert score.is_visible
    assert score.is_predicted


def test_boundaries_match_up_to_the_tolerance_and_no_further():
    # single pixels, of which each has 4 boundary pixels: itself and those left, above, above left
    truth = box((20, 20), 10, 10)
    assert score_frame(box((20, 20), 10, 11), truth).f == 1.0
    # two to the right: the two left ones of the prediction match the two right ones of the truth
    assert score_frame(box((20, 20), 10, 12), truth).f == 0.5
    assert score_frame(box((20, 20), 10, 13), truth).f == 0.0


@pytest.mark.parametrize("kind", ["empty", "full"])
def test_equal_masks_score_one_even_without_a_boundary(kind):
    mask = np.full((9, 7), kind == "full")
    score = score_frame(mask, mask.copy())
    assert (score.j, score.f, score.dice) == (1.0, 1.0, 1.0)
    assert score.is_visible == score.is_predicted == (kind == "full")


def test_one_empty_mask_scores_zero_on_either_side():
    shape, nothing = box((12, 12), slice(2, 5), slice(3, 9)), blank(12, 12)
    for prediction, truth in ((shape, nothing), (nothing, shape)):
        score = score_frame(prediction, truth)
        assert (score.j, score.f, score.dice) == (0.0, 0.0, 0.0)
        assert (score.is_predicted, score.is_visible) == (prediction.any(), truth.any())


def test_a_whole_frame_has_no_boundary_so_it_matches_none_and_a_part_does_not():
    full, nothing, part = np.ones((8, 8), bool), blank(8, 8), box((8, 8), slice(4), slice(8))
    assert (score_frame(full, nothing).j, score_frame(full, nothing).f) == (0.0, 1.0)
    assert (score_frame(full, part).j, score_frame(full, part).f) == (0.5, 0.0)


@st.composite
def mask_pairs(draw):
    """Two masks of boxes, holes and specks on a small frame, often at its edges."""
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    masks = []
    for _ in range(2):
        mask = blank(height, width)
        for _ in range(draw(st.integers(0, 3))):
            top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
            bottom, right = draw(st.integers(top, height)), draw(st.integers(left, width))
            mask[top : bottom + 1, left : right + 1] ^= True
        masks.append(mask)
    return masks


@given(mask_pairs())
@example([np.ones((1, 1), bool), blank(1, 1)])
@example([np.ones((1, 5), bool), box((1, 5), 0, slice(2))])
@example([box((6, 6), slice(3, 6), slice(6)), box((6, 6), slice(6), slice(3, 6))])
def test_it_equals_a_plain_implementation(masks):
    score = score_frame(*masks)
    assert (score.j, score.f, score.dice) == pytest.approx(plain_scores(*masks), abs=1e-12)


@settings(max_examples=30)
@given(mask_pairs(), st.integers(1, 5), st.booleans())
def test_it_does_so_with_a_tolerance_of_several_pixels(masks, times, is_turned):
    # long thin frames have a large tolerance at few pixels: 0.008 x 600 = 5
    prediction, truth = (np.pad(mask, ((0, 0), (0, 120 * times))) for mask in masks)
    if is_turned:
        prediction, truth = prediction.T, truth.T
    score = score_frame(prediction, truth)
    assert (score.j, score.f, score.dice) == pytest.approx(
        plain_scores(prediction, truth), abs=1e-12
    )


@pytest.mark.parametrize("radius", [1, 2, 3, 8, 13, 18, 36])
def test_the_disk_holds_exactly_the_offsets_within_the_radius(radius):
    side = 2 * radius + 5
    truth = box((side, side), radius + 2, radius + 2)
    distance = cv2.distanceTransform((~truth).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    reached = cv2.dilate(truth.view(np.uint8), _disk(radius)).astype(bool)
    assert (reached == (distance <= radius + 1e-3)).all()


def test_a_large_frame_is_compared_at_its_size():
    truth = box((2160, 3840), slice(500, 1500), slice(700, 2100))
    shifted = box((2160, 3840), slice(500, 1500), slice(740, 2140))
    score = score_frame(shifted, truth)
    assert boundary_radius(truth.shape) == 36
    assert score.j == pytest.approx(1360 / 1440)
    # the sides of 1,000 are 40 pixels apart; top and bottom lie on each other, and of the sides
    # only what is near a corner matches
    length = len(plain_boundary(truth[490:510, 690:710])) + 2 * 1400 + 2 * 1000 - 39
    assert 0.5 < score.f < 2 * 1500 / length


def test_arrays_that_are_views_are_read_as_they_look():
    base = np.zeros((16, 16), bool)
    base[3:9, 2:5] = True
    turned, cut = base.T, np.pad(base, 2)[2:-2, 2:-2]
    assert score_frame(turned, turned.copy()).j == 1.0
    assert score_frame(cut, base).f == 1.0
