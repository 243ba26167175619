"""The two reductions: a mean that does not depend on ranks, and a sum that is Meta's."""

from dataclasses import replace

import pytest
import torch

from sam2_video.config import LossConfig
from sam2_video.losses import clip_loss
from sam2_video.structures import FrameOutput
from tests.loss_inputs import (
    ALL_TERMS,
    gradients,
    labelled_like,
    make_output,
    make_targets,
    upsample,
    with_gradient,
)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_ranks_with_different_numbers_of_objects_equal_the_joined_batch(reduction):
    setting = replace(ALL_TERMS, reduction=reduction)
    targets = make_targets(objects=5)
    targets[4, 1] = 0
    labelled = labelled_like(targets)
    labelled[0, 2] = False
    joined = [with_gradient(make_output(frame, tuple(range(5)))) for frame in range(3)]
    whole = clip_loss(joined, targets, labelled, setting)
    whole.total.backward()

    ranks = [(0,), (1, 2, 3, 4)]
    local = []
    for rows in ranks:
        parts = []
        for output in joined:
            index = list(rows)
            part = FrameOutput(
                frame=output.frame,
                objects=tuple(range(len(rows))),
                mask_logits=output.mask_logits.detach()[index],
                iou_predictions=output.iou_predictions.detach()[index],
                object_score_logits=output.object_score_logits.detach()[index],
                best=output.best[index],
                pointers=output.pointers[index],
                is_given=False,
            )
            parts.append(with_gradient(part))
        local.append((parts, targets[list(rows)], labelled[list(rows)]))

    counts = []
    for part in local:
        clip_loss(*part, setting, lambda c: counts.append(c) or c, 2)
    both = [clip_loss(*part, setting, lambda _: counts[0] + counts[1], 2) for part in local]
    mean = torch.stack([loss.total for loss in both]).mean()
    mean.backward()
    assert mean.item() == pytest.approx(whole.total.item(), rel=1e-6)
    for name, value in whole.terms.items():
        averaged = sum(loss.terms[name] for loss in both) / 2
        assert averaged.item() == pytest.approx(value.item(), rel=1e-6)
    for frame, output in enumerate(joined):
        for expected, *found in zip(
            gradients(output), *(gradients(parts[frame]) for parts, _, _ in local), strict=True
        ):
            assert torch.allclose(torch.cat(found), expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("iou_regression", ["l1", "l2"])
def test_sum_equals_metas_loss(iou_regression):
    """Two clicks on frame 0, one hypothesis, three hypotheses, an absent and a given mask."""
    oracle = pytest.importorskip("training.loss_fns", reason="Meta's sam2 is not installed")
    targets = make_targets(objects=3)
    targets[1, 1] = 0
    rows = (0, 1, 2)
    outputs = [
        make_output(0, rows, 1, seed=1, is_given=True),
        make_output(0, rows, 3, seed=2),
        make_output(0, rows, 1, seed=3),
        make_output(1, rows, 3, seed=4),
        make_output(2, rows, 3, seed=5),
    ]
    outputs = [with_gradient(output) for output in outputs]
    settings = LossConfig(reduction="sum", iou_regression=iou_regression)
    ours = clip_loss(outputs, targets, labelled_like(targets), settings)
    ours.total.backward()
    expected_gradients = [gradients(output) for output in outputs]

    outputs = [with_gradient(output) for output in outputs]
    steps = [
        {
            "multistep_pred_multimasks_high_res": [
                20.0 * targets[:, frame, None] - 10 if o.is_given else upsample(o.mask_logits)
                for o in outputs
                if o.frame == frame
            ],
            "multistep_pred_ious": [o.iou_predictions for o in outputs if o.frame == frame],
            "multistep_object_score_logits": [
                o.object_score_logits[:, None] for o in outputs if o.frame == frame
            ],
        }
        for frame in range(3)
    ]
    meta = oracle.MultiStepMultiMasksAndIous(
        weight_dict={"loss_mask": 20, "loss_dice": 1, "loss_iou": 1, "loss_class": 1},
        supervise_all_iou=True,
        iou_use_l1_loss=iou_regression == "l1",
        pred_obj_scores=True,
        focal_gamma_obj_score=0.0,
        focal_alpha_obj_score=-1.0,
    )
    losses = meta(steps, targets.transpose(0, 1).float())
    losses[oracle.CORE_LOSS_KEY].backward()
    assert ours.total.item() == pytest.approx(losses[oracle.CORE_LOSS_KEY].item(), rel=1e-5)
    names = {
        "focal": "loss_mask",
        "dice": "loss_dice",
        "iou_prediction": "loss_iou",
        "object_score": "loss_class",
    }
    for name, theirs in names.items():
        assert ours.terms[name].item() == pytest.approx(losses[theirs].item(), rel=1e-5)
    for output, expected in zip(outputs, expected_gradients, strict=True):
        if not output.is_given:
            for found, ours_found in zip(gradients(output), expected, strict=True):
                assert torch.allclose(found, ours_found, rtol=1e-4, atol=1e-8)
