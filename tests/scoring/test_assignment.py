"""The best assignment against all of them."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sam2_video.scoring.assignment import best_assignment


@given(st.integers(1, 5), st.integers(0, 3), st.integers(0, 10**6), st.booleans())
def test_no_other_assignment_has_a_greater_sum(objects, more, seed, has_ties):
    generator = np.random.default_rng(seed)
    scores = generator.random((objects, objects + more))
    if has_ties:
        scores = scores.round(1)
    chosen = best_assignment(scores)
    assert len(set(chosen)) == objects
    best = max(
        sum(scores[row, column] for row, column in enumerate(columns))
        for columns in permutations(range(objects + more), objects)
    )
    assert sum(scores[range(objects), chosen]) == pytest.approx(best)


def test_no_objects_need_nothing():
    assert best_assignment(np.zeros((0, 3))) == []
