"""Correction clicks against Meta's SAM2Train: what is said after each, loss and gradients."""

import gc
from dataclasses import replace

import pytest

from tests.model.double import in_double
from tests.model.gaps import compare, excesses
from tests.model.kinks import compare_with_meta
from tests.model.meta_clicks import Clicks
from tests.model.parity import BOTH_LOSSES, Case, build_both, draw_user, meta_says, ours_says
from tests.model.test_parity_double import NETWORKS, TOLERANCE

MICRO, WIDE, OLDER = NETWORKS
THREE = (0, 0, 1)
ONE_MASK = replace(MICRO, name="one", has_tracking_hypotheses=False)
CASES = {
    "box-and-clicks": Case(MICRO, 64, "box", 1, (0,), num_frames=3, clicks=Clicks(1, 3)),
    "two-prompted": Case(WIDE, 64, "point", 2, THREE, num_frames=4, clicks=Clicks(2, 2)),
    # a frame that was tracked is corrected, and becomes a conditioning frame
    "two-corrected": Case(
        MICRO, 64, "point", 1, THREE, is_absent=True, num_frames=6, clicks=Clicks(2, 7)
    ),
    "from-truth": Case(
        OLDER, 64, "box", 2, THREE, is_absent=True, num_frames=5, clicks=Clicks(3, 4, 0.5)
    ),
    # on a frame that was tracked the first click is answered by one mask, not by three
    "one-mask-while-tracking": Case(ONE_MASK, 64, "box", 1, (0,), num_frames=3, clicks=Clicks(2)),
}


@pytest.mark.parametrize("name", CASES)
def test_corrected_training_equals_metas_to_the_rounding_of_double_precision(name):
    case = CASES[name]
    with in_double():
        model, meta = build_both(case)
        ours = ours_says(model, case, draw_user(meta, case), BOTH_LOSSES)
        gap = compare(ours, meta_says(meta, case, BOTH_LOSSES, clicks=ours.clicks))
    assert case.clicks is not None
    assert len(ours.clicks) == case.clicks.num_frames * case.clicks.num_clicks
    assert len(ours.outputs["iou"]) == case.num_frames + len(ours.clicks)
    found = dict(gap.outputs) | {f"loss {term}": error for term, error in gap.terms.items()}
    for loss, gradient in gap.gradients.items():
        found[f"total gradient, {loss} loss"] = gradient.total
        found[f"gradient of {gradient.worst}, {loss} loss"] = gradient.tensor
    assert {what: error for what, error in found.items() if not error <= TOLERANCE} == {}


@pytest.mark.parametrize(
    "case",
    [
        Case("sam2.1-tiny", 128, "point", 2, (0, 0), clicks=Clicks(2, 7, 0.1)),
        Case("sam2.1-tiny", 256, "box", 1, (0,), num_frames=3, clicks=Clicks(2, 2)),
    ],
    ids=["two-prompted-two-corrected-7-clicks", "box-256px"],
)
def test_corrected_training_equals_metas_in_outputs_loss_and_gradient(case):
    model, meta = build_both(case)
    ours = ours_says(model, case, draw_user(meta, case), ["official"])
    gap, _ = compare_with_meta(ours, meta, case, ["official"])
    # Meta's wrapped methods hold the network in a cycle
    del model, meta, ours
    gc.collect()
    assert excesses(gap) == []
