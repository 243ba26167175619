"""A lever changes what is computed, and neither the loss nor the gradient."""

import pytest
import torch

from benchmarks.levers import LEVERS, switched_off
from benchmarks.step import ours
from benchmarks.step.flops import counted
from benchmarks.step.settings import EVERYTHING, Problem, Way
from benchmarks.step.timeline import Timeline

WITHOUT_OPERATIONS = {"small-masks", "constants"}
"""Those that save no product of matrices."""


@pytest.fixture(scope="module")
def take_step(tmp_path_factory):
    """Return what takes a step without a lever: its loss, norm and operations."""

    def take_step(lever):
        problem = Problem("micro", 64, trainable=EVERYTHING)
        contestant = ours.prepare(problem, Way("ours"), tmp_path_factory.mktemp("cache"))
        with switched_off(lever), counted() as count:
            loss, norm = contestant.step(Timeline())
        return loss, norm, count()

    return take_step


@pytest.fixture(scope="module")
def all_on(take_step):
    return take_step(None)


@pytest.mark.parametrize("lever", LEVERS)
def test_a_lever_is_exact_and_saves_operations(take_step, all_on, lever):
    loss, norm, operations = take_step(lever)
    torch.testing.assert_close(loss, all_on[0], rtol=1e-5, atol=0)
    torch.testing.assert_close(norm, all_on[1], rtol=1e-5, atol=0)
    if lever in WITHOUT_OPERATIONS:
        assert operations == all_on[2]
    else:
        assert operations > all_on[2]


def test_an_unknown_lever_is_refused():
    with pytest.raises(ValueError, match="late-values"), switched_off("late-value"):
        pass
