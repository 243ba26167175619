"""Evaluation mode of the tracker against Meta's SAM2Train with its video predictor's settings."""

import pytest
import torch

from tests.model.double import in_double
from tests.model.gaps import compare
from tests.model.parity import Case, build_both, draw_user, meta_says, ours_says
from tests.model.test_parity_double import NETWORKS, TOLERANCE

MICRO, WIDE, OLDER = NETWORKS


@pytest.mark.parametrize(
    ("network", "prompt", "num_conditioning"),
    [(MICRO, "mask", 1), (WIDE, "mask", 2), (OLDER, "point", 1), (WIDE, "box", 2)],
    ids=["masks", "two-prompted-frames", "points-sam2", "boxes"],
)
def test_evaluation_equals_metas_to_the_rounding_of_double_precision(
    network, prompt, num_conditioning
):
    case = Case(network, 64, prompt, num_conditioning, is_absent=True, num_frames=20)
    with in_double(), torch.no_grad():
        model, meta = build_both(case, is_training=False)
        gap = compare(ours_says(model, case, draw_user(meta, case)), meta_says(meta, case))
    assert {kind: error for kind, error in gap.outputs.items() if not error <= TOLERANCE} == {}
