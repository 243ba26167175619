"""A lever changes what is computed, and neither the loss nor the gradient."""

from functools import cache

import pytest
import torch

from benchmarks.levers import LEVERS, switched_off
from benchmarks.step import ours
from benchmarks.step.flops import counted
from benchmarks.step.settings import EVERYTHING, Problem, Way
from benchmarks.step.timeline import Timeline

WITHOUT_OPERATIONS = {"constants", "fused-optimiser", "joined-projections"}
"""Those after which the products of matrices are as large."""
WITH_MORE = {"small-masks"}
"""Brings the gradient of each term to the decoder's size, by products, not that of their sum."""


@pytest.fixture(scope="module")
def take_step(tmp_path_factory):
    """Return what takes a step without a lever: its loss, norm and operations."""

    @cache
    def take_step(lever, architecture):
        problem = Problem(architecture, 64, frames=3, trainable=EVERYTHING)
        with switched_off(lever):
            contestant = ours.prepare(problem, Way("ours"), tmp_path_factory.mktemp("cache"))
            with counted() as count:
                loss, norm = contestant.step(Timeline())
            return loss, norm, count()

    return take_step


@pytest.mark.parametrize("lever", LEVERS)
def test_a_lever_is_exact_and_saves_operations(take_step, lever):
    # memory of the small network is as wide as its keys
    architecture = "sam2.1-tiny" if lever == "kept-matrices" else "micro"
    loss, norm, operations = take_step(lever, architecture)
    with_it = take_step(None, architecture)
    torch.testing.assert_close(loss, with_it[0], rtol=1e-5, atol=0)
    torch.testing.assert_close(norm, with_it[1], rtol=1e-5, atol=0)
    if lever in WITHOUT_OPERATIONS:
        assert operations == with_it[2]
    elif lever in WITH_MORE:
        assert with_it[2] > operations > 0.99 * with_it[2]
    else:
        assert operations > with_it[2]


def test_an_unknown_lever_is_refused():
    with pytest.raises(ValueError, match="late-values"), switched_off("late-value"):
        pass
