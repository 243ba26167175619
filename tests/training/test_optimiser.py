"""AdamW as one kernel: the same steps as PyTorch's plain one, true gradients, and old states."""

import pytest
import torch
from torch import nn

from sam2_video.config import TrainerConfig
from sam2_video.training import optimiser as module
from sam2_video.training.optimiser import build_optimiser, follow_settings

SETTINGS = TrainerConfig(lr=1e-2, weight_decay=0.1, warmup_fraction=0.0)


def make_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.Linear(16, 4))


def take_steps(network, optimiser, numbers):
    for number in numbers:
        generator = torch.Generator().manual_seed(number)
        optimiser.zero_grad()
        network(torch.randn(5, 8, generator=generator)).square().sum().backward()
        optimiser.step()


def build(network, *, is_fused, monkeypatch):
    with monkeypatch.context() as patch:
        if not is_fused:
            patch.setattr(module, "FUSED_DEVICES", set())
        built, _ = build_optimiser(network.named_parameters(), SETTINGS, 10)
    assert all(group["fused"] is is_fused for group in built.param_groups)
    return built


def assert_close(network, other):
    for found, expected in zip(network.parameters(), other.parameters(), strict=True):
        assert (found - expected).norm() <= 1e-6 * expected.norm()


def test_one_kernel_takes_the_steps_of_the_plain_optimiser(monkeypatch):
    networks = make_network(), make_network()
    for network, is_fused in zip(networks, (True, False), strict=True):
        take_steps(network, build(network, is_fused=is_fused, monkeypatch=monkeypatch), range(5))
    assert_close(*networks)


@pytest.mark.parametrize("was_fused", [False, True])
def test_a_state_is_gone_on_with_whichever_wrote_it(was_fused, monkeypatch):
    whole, network = make_network(), make_network()
    take_steps(whole, build(whole, is_fused=False, monkeypatch=monkeypatch), range(5))
    first = build(network, is_fused=was_fused, monkeypatch=monkeypatch)
    take_steps(network, first, range(3))
    resumed = build(network, is_fused=True, monkeypatch=monkeypatch)
    saved = follow_settings(first.state_dict(), network.named_parameters(), SETTINGS)
    resumed.load_state_dict(saved)
    assert all(group["fused"] for group in resumed.param_groups)
    take_steps(network, resumed, range(3, 5))
    assert_close(network, whole)


def test_gradients_are_unscaled_before_they_are_clipped():
    # what PyTorch's GradScaler and Lightning ask: with True they leave it to the kernel
    built, _ = build_optimiser(make_network().named_parameters(), SETTINGS, 10)
    assert not built._step_supports_amp_scaling
