"""The click on the centre of the largest error: OpenCV's distances, Meta's points, and ties."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sam2_video.prompts import NEGATIVE, PADDING, POSITIVE, centre_click, prompt_from_mask
from sam2_video.prompts.centre import innermost_pixels
from sam2_video.structures import BACKGROUND, IGNORE, OBJECT, PromptKind

STATES = torch.tensor([BACKGROUND, OBJECT, IGNORE], dtype=torch.uint8)


def squared_distances(region: np.ndarray) -> np.ndarray:
    """Return OpenCV's distances to the outside, squared: exact, where roots are not."""
    padded = np.pad(region.astype(np.uint8), 1)
    distances = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    return np.rint(distances.astype(np.float64) ** 2).astype(np.int64)


def expected_pixel(regions: np.ndarray) -> int:
    low, high = (squared_distances(regions == value) for value in (1, 2))
    return int((high if high.max() > low.max() else low).argmax())


@st.composite
def region_batches(draw):
    """Regions from specks to blocks that are larger than a cell of the search."""
    seed, count = draw(st.integers(0, 2**32)), draw(st.integers(1, 4))
    height, width = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    scale = draw(st.sampled_from([1, 1, 3, 7]))
    generator = torch.Generator().manual_seed(seed)
    share = draw(st.sampled_from([0.05, 0.5, 0.95]))
    is_inside = torch.rand(count, height, width, generator=generator) < share
    values = torch.randint(1, 3, is_inside.shape, generator=generator)
    regions = torch.where(is_inside, values, 0).byte()
    return regions.repeat_interleave(scale, 1).repeat_interleave(scale, 2)


@given(region_batches())
@settings(max_examples=80, deadline=None)
def test_the_innermost_pixels_are_those_of_opencvs_distance_transform(regions):
    expected = [expected_pixel(region) for region in regions.numpy()]
    assert innermost_pixels(regions).tolist() == expected


@pytest.mark.parametrize("value", [1, 2])
def test_of_round_and_slanted_regions_too(value):
    y, x = torch.meshgrid(torch.arange(100), torch.arange(130), indexing="ij")
    disc = (x - 61) ** 2 + (y - 47) ** 2 < 31**2
    stripes = ((x + 2 * y) // 40) % 2 == 0
    regions = torch.stack([disc, ~disc, stripes, disc & stripes, disc | stripes]) * value
    expected = [expected_pixel(region) for region in regions.numpy()]
    assert innermost_pixels(regions.byte()).tolist() == expected


def random_case(seed: int, num_states: int = 2):
    """Return targets in patches and logits at half their size, as smooth as a prediction."""
    generator = torch.Generator().manual_seed(seed)
    states = torch.randint(0, num_states, (4, 6, 8), generator=generator)
    targets = STATES[states].repeat_interleave(5, 1).repeat_interleave(4, 2)
    logits = torch.randn(4, 1, 5, 4, generator=generator)
    return targets, torch.nn.functional.interpolate(logits, (15, 16), mode="bilinear")[:, 0]


def is_said(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    full = torch.nn.functional.interpolate(logits[:, None], size, mode="bilinear")
    return full[:, 0] > 0


@pytest.mark.parametrize("seed", range(20))
def test_clicks_are_metas_on_the_same_errors(seed):
    utils = pytest.importorskip("sam2.modeling.sam2_utils", reason="Meta's sam2 is not installed")
    targets, logits = random_case(seed)
    truth, found = targets == OBJECT, is_said(logits, (30, 32))
    theirs, their_labels = utils.sample_one_point_from_error_center(truth[:, None], found[:, None])
    points, labels = centre_click(targets, logits)
    for row in range(len(targets)):
        depths = squared_distances((truth[row] & ~found[row]).numpy())
        depths = np.maximum(depths, squared_distances((found[row] & ~truth[row]).numpy()))
        (x, y), (their_x, their_y) = points[row, 0].long(), theirs[row, 0].long()
        assert depths[y, x] == depths[their_y, their_x] == depths.max()
        # of equal roots OpenCV's can differ in the last digit
        if (depths == depths.max()).sum() == 1:
            assert torch.equal(points[row], theirs[row])
            assert labels[row, 0] == their_labels[row, 0]


@pytest.mark.parametrize("seed", range(5))
def test_ignored_pixels_are_not_wrong_and_bound_what_is(seed):
    targets, logits = random_case(seed, num_states=3)
    found, truth = is_said(logits, (30, 32)), targets == OBJECT
    regions = torch.where((found != truth) & (targets != IGNORE), 1 + truth.byte(), 0)
    points, labels = centre_click(targets, logits)
    for row in range(len(targets)):
        pixel = expected_pixel(regions[row].numpy())
        assert points[row, 0].tolist() == [pixel % 32, pixel // 32]
        assert labels[row, 0] == regions[row].flatten()[pixel] - 1


def test_of_errors_equally_deep_the_negative_click_comes_first_then_the_order_of_rows():
    targets, logits = torch.zeros(2, 8, 8, dtype=torch.uint8), torch.full((2, 8, 8), -1.0)
    targets[:, 0, 0] = targets[:, 3, 3] = OBJECT
    logits[1, 6, 2] = logits[1, 6, 4] = 1.0
    points, labels = centre_click(targets, logits)
    assert points[:, 0].tolist() == [[0, 0], [2, 6]]
    assert labels[:, 0].tolist() == [POSITIVE, NEGATIVE]


def test_where_nothing_is_wrong_there_is_no_click():
    targets = torch.zeros(3, 8, 8, dtype=torch.uint8)
    targets[0, 2:5, 3:6] = OBJECT
    targets[1] = OBJECT
    targets[2] = IGNORE
    points, labels = centre_click(targets, torch.where(targets == OBJECT, 4.0, -4.0))
    assert labels[:, 0].tolist() == [PADDING] * 3
    assert not points.any()
    # and of one without errors among others, neither
    wrong = torch.where(targets == OBJECT, 4.0, -4.0)
    wrong[1] = -1.0
    assert centre_click(targets, wrong)[1][:, 0].tolist() == [PADDING, POSITIVE, PADDING]


@given(st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_the_points_of_evaluation_are_the_innermost_by_opencvs_distances(seed):
    generator = torch.Generator().manual_seed(seed)
    targets = (torch.rand(11, 5, 6, generator=generator) < 0.6).byte()
    targets = targets.repeat_interleave(3, 1).repeat_interleave(4, 2)
    prompt = prompt_from_mask(targets, PromptKind.POINT, 3, frame=0, objects=tuple(range(11)))
    assert prompt.points is not None
    for free, points in zip(targets.numpy(), prompt.points.long().tolist(), strict=True):
        for x, y in points:
            distances = squared_distances(free)
            assert [y, x] == list(np.unravel_index(distances.argmax(), free.shape))
            free[y, x] = 0
