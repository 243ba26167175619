"""Dropout by numbers of 16 bits: its share, its mean, its gradient, and that it can be repeated."""

import pytest
import torch
from torch import nn

from sam2_video.model.noise import draw_kept, drop, scale_of_kept

COUNT = 200_003


@pytest.mark.parametrize("dropout", [0.0, 0.1, 0.5, 0.999, 1.0])
def test_as_many_stay_as_were_asked_for_and_their_mean_stays(dropout):
    torch.manual_seed(0)
    share = draw_kept((COUNT,), dropout).double().mean().item()
    assert share == pytest.approx(1 - dropout, abs=4 * (dropout * (1 - dropout) / COUNT) ** 0.5)
    if dropout < 1:
        assert scale_of_kept(dropout) == pytest.approx(1 / (1 - dropout), rel=1e-2)


def test_neighbours_are_drawn_independently():
    torch.manual_seed(0)
    stays = draw_kept((COUNT,), 0.5).double() - 0.5
    for distance in (1, 2, 3, 4, 8):
        together = (stays[:-distance] * stays[distance:]).mean().item() * 4
        assert abs(together) < 4 / COUNT**0.5


@pytest.mark.parametrize("p", [0.25, 1.0])
def test_what_stays_is_scaled_and_has_the_gradient(p):
    given = torch.randn(40, 50, requires_grad=True)
    torch.manual_seed(0)
    found = drop(nn.Dropout(p), given)
    torch.manual_seed(0)
    factor = draw_kept(given.shape, p) * scale_of_kept(p)
    torch.testing.assert_close(found, given * factor)
    (gradient,) = torch.autograd.grad(found.sum(), given)
    torch.testing.assert_close(gradient, factor.float())


def test_nothing_is_dropped_in_evaluation_or_by_other_modules():
    given = torch.randn(40, 50)
    for module in (nn.Dropout(0.5).eval(), nn.Dropout(0.0), nn.Identity()):
        assert torch.equal(drop(module, given), given)
