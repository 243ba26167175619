"""The memory encoder is transformers' own, in outputs and gradients, whatever is computed how."""

import pytest
import torch
from torch import nn

from sam2_video.model import memory_encoder
from sam2_video.model.memory_encoder import embed_masks, fuse
from tests.model.micro import micro_model


def noise(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def theirs(encoder, features, masks):
    return encoder.projection(encoder.memory_fuser(features + encoder.mask_downsampler(masks)))


def ours(encoder, features, masks):
    return fuse(encoder, features + embed_masks(encoder, masks))


def learn(function, encoder, *inputs):
    said = function(encoder, *inputs)
    learning = [p for p in encoder.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(said.square().sum(), [*inputs, *learning], allow_unused=True)
    return said, gradients


@pytest.mark.parametrize("adapted", [False, True])
@pytest.mark.parametrize("size", [(4, 4), (4, 6)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_outputs_and_gradients_are_transformers_own(adapted, size, dtype):
    model = micro_model(("memory_encoder",))
    if adapted:
        model.add_adapters(["memory_encoder"], rank=2)
    encoder = model.network.memory_encoder.to(dtype)
    features = noise(2, 64, *size, seed=0).to(dtype).detach().requires_grad_()
    masks = noise(2, 1, *(16 * side for side in size), seed=1).to(dtype).detach().requires_grad_()
    found, found_gradients = learn(ours, encoder, features, masks)
    expected, expected_gradients = learn(theirs, encoder, features, masks)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    assert relative(found, expected) < tolerance
    for mine, their in zip(found_gradients, expected_gradients, strict=True):
        assert (mine is None) == (their is None)
        if mine is not None:
            assert (mine - their).norm() <= 10 * tolerance * max(their.norm(), 1e-3)


def test_half_precision_rounds_as_much_as_theirs():
    encoder = micro_model(("memory_encoder",)).network.memory_encoder
    inputs = noise(2, 64, 4, 4, seed=0), noise(2, 1, 64, 64, seed=1)
    exact, of_exact = learn(theirs, encoder, *inputs)
    with torch.autocast("cpu", torch.bfloat16):
        mine, of_mine = learn(ours, encoder, *inputs)
        plain, of_plain = learn(theirs, encoder, *inputs)
    assert mine.dtype == plain.dtype
    assert relative(mine, exact) <= 1.2 * relative(plain, exact)
    errors = [
        sum((a - b).square().sum() for a, b in zip(some, of_exact, strict=True) if b is not None)
        ** 0.5
        for some in (of_mine, of_plain)
    ]
    assert errors[0] <= 1.2 * errors[1]


def test_weights_gradient_is_that_of_a_double_precision_difference():
    convolution = nn.Conv2d(6, 6, 5, padding=2, groups=6).double()
    inputs = noise(3, 6, 7, 9, seed=0).double().detach().requires_grad_()

    def convolve(features, weight, bias):
        return memory_encoder._DepthwiseConvolution.apply(features, weight, bias, (2, 2))

    assert torch.autograd.gradcheck(convolve, (inputs, convolution.weight, convolution.bias))


def relative(found, expected):
    return float((found - expected).detach().norm() / expected.detach().norm())
