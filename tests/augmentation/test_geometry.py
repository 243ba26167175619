"""Where pixels come from: angles, crops, flips, and frames and masks that stay together."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sam2_video.augmentation import PRESETS, Strengths
from sam2_video.augmentation.geometry import Geometry, draw_geometry
from sam2_video.augmentation.warp import shows_object, warp_frames, warp_masks
from sam2_video.structures import IGNORE
from tests.augmentation.made import disagrees, disc

SIZE = (64, 96)


def draws(strengths, count, size=SIZE):
    return [draw_geometry(np.random.default_rng(seed), strengths, size) for seed in range(count)]


def in_pixels(geometry, size=SIZE):
    """Return the linear part from new to old in pixels of the video."""
    height, width = size
    half_sides = np.array([width, height])
    return geometry.to_source[:, :2] * half_sides[:, None] / half_sides


def test_a_coloured_disc_and_its_mask_stay_together():
    geometry_only = replace(PRESETS["strong"], vertical_flip=0.5)
    is_disc = disc(SIZE, (28, 50), 12)
    frames, masks = torch.zeros(1, 3, *SIZE), is_disc[None, None].byte()
    frames[..., is_disc] = 2.0
    seen = 0
    for geometry in draws(geometry_only, 200):
        moved, _ = warp_masks(geometry, masks)
        is_bright = warp_frames(geometry, frames)[:, :1] > 1
        assert not disagrees(moved.bool(), is_bright)
        seen += int(moved.any())
    assert seen > 190


@pytest.mark.parametrize("size", [(64, 96), (50, 200), (120, 80)])
def test_turning_a_video_that_is_not_square_does_not_shear_it(size):
    for geometry in draws(Strengths(degrees=180.0), 20, size):
        turn = in_pixels(geometry, size)
        np.testing.assert_allclose(turn @ turn.T, np.eye(2), atol=1e-12)


def test_a_disc_of_a_video_stays_round_however_the_input_is_stretched():
    # a video twice as wide as high at a square input: a disc of it is an upright ellipse there
    rows, columns = torch.meshgrid(torch.arange(96), torch.arange(96), indexing="ij")
    ellipse = ((rows - 47.5) / 30) ** 2 + ((columns - 47.5) / 15) ** 2 <= 1
    for geometry in draws(Strengths(degrees=90.0), 20, (100, 200)):
        moved, _ = warp_masks(geometry, ellipse[None, None].byte())
        assert not disagrees(ellipse[None, None], moved.bool())


def test_the_official_angles_stay_in_their_bounds_and_use_them():
    turns, slants = [], []
    for geometry in draws(PRESETS["official"], 300):
        forward = np.linalg.inv(in_pixels(geometry))
        assert np.linalg.det(forward) == pytest.approx(1.0)
        turn = math.atan2(forward[1, 0], forward[0, 0])
        back = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
        turns.append(math.degrees(turn))
        slants.append(math.degrees(math.atan((back @ forward)[0, 1])))
    for values, bound in ((turns, 25), (slants, 20)):
        assert max(values) <= bound + 1e-6
        assert min(values) >= -bound - 1e-6
        assert max(values) > 0.9 * bound
        assert min(values) < -0.9 * bound


def test_zoom_and_shift_stay_in_their_bounds():
    corners = []
    for geometry in draws(Strengths(scale=0.25, translate=0.1), 200):
        zoom = 1 / geometry.to_source[0, 0]
        assert 0.8 - 1e-9 <= zoom <= 1.25 + 1e-9
        corners.append(np.abs(geometry.to_source[:, 2]) * zoom)
    # places go from -1 to 1: a share of 0.1 is 0.2
    assert np.max(corners) == pytest.approx(0.2, rel=0.05)
    assert np.max(corners) <= 0.2 + 1e-9


def test_a_crop_stays_in_the_frame_and_keeps_its_share():
    shares = []
    for geometry in draws(Strengths(crop=0.4), 200):
        sides, centre = np.diag(geometry.to_source), geometry.to_source[:, 2]
        assert (np.abs(centre) + sides <= 1 + 1e-9).all()
        assert 3 / 4 - 1e-9 <= sides[0] / sides[1] <= 4 / 3 + 1e-9
        shares.append(float(np.prod(sides)))
    assert min(shares) >= 0.4
    assert min(shares) < 0.45
    assert max(shares) > 0.95


def test_flips_alone_change_no_value():
    frames = torch.randn(2, 3, *SIZE)
    masks = torch.randint(0, 2, (1, 2, *SIZE), dtype=torch.uint8)
    (geometry,) = draws(Strengths(horizontal_flip=1.0, vertical_flip=1.0), 1)
    assert geometry == Geometry(True, True, None)
    assert torch.equal(warp_frames(geometry, frames), frames.flip(-1, -2))
    assert torch.equal(warp_masks(geometry, masks)[0], masks.flip(-1, -2))


@pytest.mark.parametrize("to_source", [None, np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])])
def test_a_mirrored_warp_is_the_mirror_image(to_source):
    frames = torch.randn(2, 3, *SIZE)
    masks = torch.randint(0, 2, (1, 2, *SIZE), dtype=torch.uint8)
    geometry = Geometry(True, False, to_source)
    torch.testing.assert_close(warp_frames(geometry, frames), frames.flip(-1), atol=1e-4, rtol=0)
    assert torch.equal(warp_masks(geometry, masks)[0], masks.flip(-1))


def test_a_quarter_turn_is_a_quarter_turn():
    frames = torch.randn(2, 3, 32, 32)
    masks = torch.randint(0, 2, (1, 2, 32, 32), dtype=torch.uint8)
    geometry = Geometry(False, False, np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]))
    expected = frames.rot90(1, (-2, -1))
    torch.testing.assert_close(warp_frames(geometry, frames), expected, atol=1e-4, rtol=0)
    assert torch.equal(warp_masks(geometry, masks)[0], masks.rot90(1, (-2, -1)))


def test_ignored_regions_follow_exactly():
    region = disc(SIZE, (30, 40), 10)[None, None]
    masks = region.byte() * IGNORE
    for geometry in draws(PRESETS["strong"], 20):
        moved, _ = warp_masks(geometry, masks)
        plain, _ = warp_masks(geometry, region.byte())
        # an object is kept where it would vanish; an ignored region need not be
        assert torch.equal(moved == IGNORE, plain == 1)


def test_an_object_of_one_pixel_is_lost_only_where_it_leaves_the_frame():
    shrinking = Strengths(degrees=180.0, shear=20.0, scale=1.0, translate=0.2, horizontal_flip=0.5)
    masks = torch.zeros(1, 1, *SIZE, dtype=torch.uint8)
    row, column = 21, 60
    masks[0, 0, row, column] = 1
    place = np.array([(2 * column + 1) / SIZE[1] - 1, (2 * row + 1) / SIZE[0] - 1])
    num_seen = num_kept = 0
    for geometry in draws(shrinking, 200):
        assert geometry.to_source is not None
        old = place * geometry.flips
        new = np.linalg.inv(geometry.to_source[:, :2]) @ (old - geometry.to_source[:, 2])
        moved, _ = warp_masks(geometry, masks)
        distance = np.abs(new) - 1
        is_on_edge = abs(distance.max()) < 2 / min(SIZE)
        assert is_on_edge or bool(shows_object(moved)) == bool((distance < 0).all())
        num_seen += int(shows_object(moved))
        num_kept += int(shows_object(moved)) and int(moved.sum()) == 1
    assert 50 < num_seen < 200
    assert num_kept > 20


def test_a_strength_of_0_changes_no_other_draw():
    both, alone = Strengths(degrees=25.0, horizontal_flip=0.5, scale=0.2), Strengths(degrees=25.0)
    for first, second in zip(draws(both, 10), draws(alone, 10), strict=True):
        turned = first.to_source[:, :2] / math.sqrt(np.linalg.det(first.to_source[:, :2]))
        np.testing.assert_allclose(turned, second.to_source[:, :2], atol=1e-12)
