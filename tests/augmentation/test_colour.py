"""Colours as Pillow changes them, blur and noise."""

import colorsys
import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from sam2_video.augmentation import PRESETS, Strengths, colour
from sam2_video.augmentation.look import change_look, draw_look
from sam2_video.pixels import PIXEL_MEAN, PIXEL_STD, prepare_frames

LEVEL = 1 / 255


@pytest.fixture
def values():
    # darker than half, and more so in blue
    levels = np.random.default_rng(0).random((40, 50, 3)) ** (1.0, 1.5, 3.0)
    return (levels * 255).round().astype(np.uint8)


def to_frames(values):
    return torch.from_numpy(values.copy()).permute(2, 0, 1)[None].float() / 255


def factor(value):
    return torch.full((1, 1, 1, 1), value)


@pytest.mark.parametrize("strength", [0.0, 0.6, 1.0, 1.4, 3.0])
@pytest.mark.parametrize(
    ("change", "pillow"),
    [
        (colour.change_brightness, ImageEnhance.Brightness),
        (colour.change_contrast, ImageEnhance.Contrast),
        (colour.change_saturation, ImageEnhance.Color),
    ],
)
def test_jitter_is_that_of_pillow(change, pillow, strength, values):
    expected = to_frames(np.asarray(pillow(Image.fromarray(values)).enhance(strength)))
    changed = change(to_frames(values), factor(strength))
    # Pillow cuts to 8 bits, its grey and the mean of it before they are multiplied
    bound = LEVEL * (1 + abs(1 - strength))
    torch.testing.assert_close(changed, expected, atol=bound, rtol=0)


def test_the_lightness_is_that_of_pillow(values):
    expected = np.asarray(Image.fromarray(values).convert("L"))
    grey = colour.remove_colour(to_frames(values))
    torch.testing.assert_close(grey, to_frames(np.stack([expected] * 3, -1)), atol=LEVEL, rtol=0)


@pytest.mark.parametrize("turn", [-0.5, -0.1, 0.0, 0.25, 0.5])
def test_the_hue_turns_on_the_circle_of_hsv(turn, values):
    values[:2, :2] = [[[0, 0, 0], [255, 255, 255]], [[9, 9, 9], [255, 0, 0]]]
    turned = colour.turn_hue(to_frames(values), factor(turn))[0].permute(1, 2, 0).reshape(-1, 3)
    for before, after in zip((values.reshape(-1, 3) / 255).tolist(), turned, strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*before)
        expected = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
        assert after.tolist() == pytest.approx(expected, abs=1e-5)


def test_hue_is_close_to_what_pillow_makes_of_it(values):
    hsv = np.array(Image.fromarray(values).convert("HSV"))
    hsv[..., 0] += np.uint8(64)
    channels = [Image.fromarray(channel) for channel in np.moveaxis(hsv, -1, 0)]
    expected = np.asarray(Image.merge("HSV", channels).convert("RGB"))
    turned = colour.turn_hue(to_frames(values), factor(64 / 256))
    assert (turned - to_frames(expected)).abs().mean() < 2 * LEVEL


def test_blur_is_a_gaussian_that_keeps_the_sum():
    frames = torch.zeros(1, 3, 31, 41)
    frames[..., 15, 20] = 1.0
    blurred = colour.blur(frames, 1.5)
    assert blurred.sum((2, 3)).tolist() == [pytest.approx([1.0] * 3, abs=1e-5)]
    ratio = blurred[0, 0, 15, 22] / blurred[0, 0, 15, 20]
    assert ratio.item() == pytest.approx(math.exp(-0.5 * (2 / 1.5) ** 2), rel=1e-4)
    torch.testing.assert_close(blurred[0, 0, 15, 16:25], blurred[0, 0, 11:20, 20])


def test_blur_leaves_an_even_picture_and_works_on_tiny_ones():
    even = torch.full((2, 3, 5, 7), 0.3)
    torch.testing.assert_close(colour.blur(even, 4.0), even)


def test_noise_is_as_strong_as_asked_and_other_on_each_frame():
    look = draw_look(np.random.SeedSequence(3), Strengths(noise=0.1), 2)
    frames = prepare_frames(torch.full((2, 3, 64, 64), 128, dtype=torch.uint8), (64, 64))
    std = torch.tensor(PIXEL_STD)[:, None, None]
    change = (change_look(look, frames) - frames) * std
    assert 0 < look.noise <= 0.1
    assert change.std().item() == pytest.approx(look.noise, rel=0.02)
    both = torch.corrcoef(change.flatten(1))
    assert abs(both[0, 1].item()) < 0.05


def test_a_look_that_changes_nothing_leaves_every_bit():
    frames = torch.randn(2, 3, 8, 8)
    look = draw_look(np.random.SeedSequence(3), Strengths(degrees=20.0), 2)
    assert change_look(look, frames) is frames


def test_a_grey_clip_is_grey_and_has_its_lightness():
    frames = prepare_frames(torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8), (16, 16))
    grey = change_look(draw_look(np.random.SeedSequence(1), Strengths(grey=1.0), 2), frames)
    mean, std = (torch.tensor(values)[:, None, None] for values in (PIXEL_MEAN, PIXEL_STD))
    expected = colour.lightness(frames * std + mean).expand(-1, 3, -1, -1)
    torch.testing.assert_close(grey * std + mean, expected, atol=1e-6, rtol=0)


def test_over_the_clip_all_frames_change_alike_and_frame_by_frame_they_do_not():
    frames = prepare_frames(torch.full((3, 3, 8, 8), 100, dtype=torch.uint8), (8, 8))
    for strengths, is_alike in (
        (Strengths(brightness=0.5), True),
        (Strengths(frame_brightness=0.5), False),
    ):
        changed = change_look(draw_look(np.random.SeedSequence(5), strengths, 3), frames)
        assert not torch.allclose(changed, frames)
        assert torch.equal(changed[0], changed[1]) is is_alike


def test_factors_and_shares_are_those_of_the_preset():
    strengths = PRESETS["strong"]
    looks = [draw_look(np.random.SeedSequence(seed), strengths, 4) for seed in range(400)]
    brightness = np.array([look.clip.factors[0] for look in looks])
    each = np.array([look.frame.factors[0] for look in looks])
    assert (brightness == brightness[:, :1]).all()
    for factors, strength in (
        (brightness, strengths.brightness),
        (each, strengths.frame_brightness),
    ):
        assert np.abs(factors - 1).max() <= strength
        assert np.abs(factors - 1).max() > 0.95 * strength
    assert np.mean([look.is_grey for look in looks]) == pytest.approx(strengths.grey, abs=0.05)
    assert np.mean([look.blur_sigma > 0 for look in looks]) == pytest.approx(
        strengths.blur, abs=0.06
    )
    assert max(look.blur_sigma for look in looks) <= strengths.blur_sigma
    assert len({look.clip.order for look in looks}) == 24


def test_more_frames_change_no_other_draw():
    short, long = (draw_look(np.random.SeedSequence(9), PRESETS["strong"], n) for n in (2, 5))
    for kind in range(3):
        assert np.array_equal(short.frame.factors[kind], long.frame.factors[kind][:2])
    assert (short.clip.order, short.noise, short.blur_sigma) == (
        long.clip.order,
        long.noise,
        long.blur_sigma,
    )


def test_a_factor_is_never_below_0():
    look = draw_look(np.random.SeedSequence(1), Strengths(brightness=3.0), 2)
    factors = [
        draw_look(np.random.SeedSequence(seed), Strengths(brightness=3.0), 1).clip.factors[0]
        for seed in range(50)
    ]
    assert look.has_jitter
    assert min(float(f[0]) for f in factors) >= 0
