"""The image encoder against transformers' own forward, in outputs and gradients."""

from dataclasses import replace

import pytest
import torch

from sam2_video.model.adapters import add_adapters
from sam2_video.model.architecture import ARCHITECTURES, MICRO, build_network
from sam2_video.model.hiera import encode_images
from tests.model.micro import micro_model

# windows of 14 and of 7 tokens that reach beyond 4, 6 and 16 tokens, as the published sizes have
PADDED = replace(MICRO, name="padded", window_sizes=(8, 4, 14, 7))


def relative(found, expected):
    return float((found - expected).detach().norm() / expected.detach().norm())


@pytest.mark.parametrize("architecture", [MICRO, PADDED], ids=lambda a: a.name)
@pytest.mark.parametrize("size", [(64, 64), (64, 96), (256, 64)])
def test_levels_and_gradients_are_those_of_transformers(architecture, size):
    encoder = build_network(architecture, size).vision_encoder
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    pixels = torch.randn(2, 3, *size)
    parameters = list(encoder.parameters())
    gradients = []
    ours, theirs = encode_images(encoder, pixels), encoder(pixels).fpn_hidden_states
    assert [x.shape for x in ours] == [x.shape for x in theirs]
    for levels in (ours, theirs):
        loss = sum((level * level.detach().roll(1)).sum() for level in levels)
        gradients.append(torch.autograd.grad(loss, parameters, allow_unused=True))
    for found, expected in zip(ours, theirs, strict=True):
        assert relative(found, expected) < 1e-5
    for found, expected in zip(*gradients, strict=True):
        assert (found is None) == (expected is None)
        if found is not None:
            assert relative(found, expected) < 1e-4


def test_windows_of_the_published_sizes_reach_beyond_the_image():
    # else the test above would miss what the padding is projected to
    windows = ARCHITECTURES["sam2.1-tiny"].window_sizes
    assert any((512 // stride) % size for stride, size in zip((4, 8, 16, 32), windows, strict=True))


def test_adapters_beside_the_projections_take_part():
    model = micro_model()
    encoder = model.network.vision_encoder
    pixels = torch.randn(1, 3, 64, 64)
    before = encode_images(encoder, pixels)
    layers = [
        f"vision_encoder.backbone.blocks.{i}.attn.{name}"
        for i in (0, 1)
        for name in ("qkv", "proj")
    ]
    add_adapters(model.network, layers, rank=2, alpha=4.0, dropout=0.0, seed=0)
    with torch.no_grad():
        for name, parameter in model.network.named_parameters():
            if "lora_B" in name:
                parameter.add_(0.1)
    found, expected = encode_images(encoder, pixels), encoder(pixels).fpn_hidden_states
    assert all(relative(a, b) < 1e-5 for a, b in zip(found, expected, strict=True))
    assert relative(found[-1], before[-1]) > 1e-3
