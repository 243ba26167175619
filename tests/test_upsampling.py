"""Upsampled masks, and their gradient, are PyTorch's."""

import pytest
import torch
from torch.nn import functional as F

from sam2_video.upsampling import gradient_of_upsample, upsample

SIZES = [((4, 6), (16, 24)), ((5, 3), (13, 17)), ((4, 4), (4, 7)), ((1, 2), (3, 2))]


def draw(shape, seed, dtype):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def pytorchs(logits, size):
    return F.interpolate(logits, size=list(size), mode="bilinear", align_corners=False)


@pytest.mark.parametrize(("small", "large"), SIZES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_values_and_gradients_are_pytorchs(small, large, dtype):
    logits = draw((2, 3, *small), 0, dtype).requires_grad_()
    above = draw((2, 3, *large), 1, dtype)
    found, expected = upsample(logits, large), pytorchs(logits, large)
    assert torch.equal(found, expected)
    (gradient,) = torch.autograd.grad(found, logits, above)
    (other,) = torch.autograd.grad(expected, logits, above)
    torch.testing.assert_close(gradient, other)
    torch.testing.assert_close(gradient_of_upsample(above, small), other)


def test_autocast_does_not_round_the_gradient():
    above = draw((1, 1, 12, 12), 0, torch.float32)
    exact = gradient_of_upsample(above, (5, 5))
    with torch.autocast("cpu", torch.bfloat16):
        found = gradient_of_upsample(above, (5, 5))
    assert found.dtype == torch.float32
    assert torch.equal(found, exact)


def test_what_was_first_made_without_a_gradient_serves_training():
    with torch.inference_mode():
        gradient_of_upsample(torch.ones(1, 1, 9, 9), (3, 3))
    logits = torch.ones(1, 1, 3, 3, requires_grad=True)
    upsample(logits, (9, 9)).sum().backward()
    torch.testing.assert_close(logits.grad, torch.full_like(logits, 9.0))
