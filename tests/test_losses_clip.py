"""The clip loss: what counts, what learns, and what is never waited for."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from sam2_video.config import LossConfig
from sam2_video.losses import clip_loss, terms
from sam2_video.losses.target import Target
from tests.loss_inputs import (
    ALL_TERMS,
    gradients,
    labelled_like,
    make_output,
    make_targets,
    only,
    upsample,
    with_gradient,
)


def test_mean_is_over_objects_and_frames_that_count():
    targets = make_targets()
    targets[1, 1] = 0
    outputs = [make_output(0, (0, 1), 1, is_given=True), make_output(1, (0, 1), 1)]
    outputs.append(make_output(2, (0, 1), 1))
    loss = clip_loss(outputs, targets, labelled_like(targets), LossConfig())
    first = terms.dice(upsample(outputs[1].mask_logits)[:1, 0], Target.read(targets[:1, 1]))
    second = terms.dice(upsample(outputs[2].mask_logits)[:, 0], Target.read(targets[:, 2]))
    assert loss.terms["dice"].item() == pytest.approx(torch.cat([first, second]).mean().item())
    assert {name: count.item() for name, count in loss.counts.items()} == {
        "focal": 3,
        "dice": 3,
        "iou_prediction": 3,
        "object_score": 4,
    }


def test_total_is_the_weighted_sum_of_the_logged_terms():
    targets = make_targets()
    outputs = [with_gradient(make_output(frame, (0, 1))) for frame in range(3)]
    loss = clip_loss(outputs, targets, labelled_like(targets), ALL_TERMS)
    weighted = sum(getattr(ALL_TERMS, name) * value for name, value in loss.terms.items())
    assert len(loss.terms) == 7
    assert loss.total.item() == pytest.approx(weighted.item(), rel=1e-6)
    assert not any(value.requires_grad for value in loss.terms.values())


def test_unlabelled_frames_get_no_gradient_and_change_nothing():
    targets = make_targets()
    labelled = labelled_like(targets)
    labelled[1, 2] = False
    outputs = [with_gradient(make_output(frame, (0, 1))) for frame in range(3)]
    loss = clip_loss(outputs, targets, labelled, ALL_TERMS)
    loss.total.backward()
    for gradient in gradients(outputs[2]):
        assert gradient[0].abs().sum() > 0
        assert gradient[1].abs().sum() == 0
    targets[1, 2] = 1 - targets[1, 2]
    assert clip_loss(outputs, targets, labelled, ALL_TERMS).total == loss.total


def test_an_absent_object_teaches_only_its_score():
    targets = make_targets(objects=1, frames=1)
    targets[:] = 0
    output = make_output(0, (0,))
    # SAM 2 writes -1024 where it finds no object: prediction and truth are both empty
    output.mask_logits[:, 0] = -1024
    output = with_gradient(output)
    clip_loss([output], targets, labelled_like(targets), ALL_TERMS).total.backward()
    masks, ious, scores = gradients(output)
    assert masks.abs().sum() == 0
    assert ious.abs().sum() == 0
    assert scores.item() == pytest.approx(torch.sigmoid(output.object_score_logits).item())


@pytest.mark.parametrize("way", ["unlabelled", "ignored"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_nothing_to_learn_gives_zero_with_a_graph(way, reduction):
    targets = make_targets()
    labelled = labelled_like(targets)
    if way == "unlabelled":
        labelled[:] = False
    else:
        targets[:] = 255
    outputs = [with_gradient(make_output(frame, (0, 1))) for frame in range(2)]
    loss = clip_loss(outputs, targets, labelled, replace(ALL_TERMS, reduction=reduction))
    loss.total.backward()
    assert loss.total.item() == 0
    for output in outputs:
        assert all(torch.equal(g, torch.zeros_like(g)) for g in gradients(output))


def test_only_the_best_hypothesis_learns_its_mask_and_all_learn_their_iou():
    targets = make_targets(objects=1, frames=1)
    output = make_output(0, (0,))
    truth = F.interpolate(targets.float(), scale_factor=0.5)[:, 0] * 4 - 2
    logits = output.mask_logits.clone()
    logits[:, 1] = truth + 0.1 * logits[:, 1]
    output = with_gradient(replace(output, mask_logits=logits))
    clip_loss([output], targets, labelled_like(targets), LossConfig()).total.backward()
    masks, ious, _ = gradients(output)
    assert (masks.abs().sum((0, 2, 3)) > 0).tolist() == [False, True, False]
    assert torch.allclose(ious.abs(), torch.full((1, 3), 1 / 3))


def test_without_a_mask_term_the_trackers_own_hypothesis_is_taken():
    targets = make_targets(objects=1, frames=2)
    outputs = [
        with_gradient(replace(make_output(frame, (0,)), best=torch.tensor([2])))
        for frame in range(2)
    ]
    clip_loss(outputs, targets, labelled_like(targets), only(temporal=1.0)).total.backward()
    for output in outputs:
        learns = output.mask_logits.grad.abs().sum((0, 2, 3)) > 0
        assert learns.tolist() == [False, False, True]


def test_temporal_pairs_an_object_with_itself_across_cohorts():
    targets = make_targets()
    together = [make_output(frame, (0, 1), 1) for frame in range(2)]
    whole = together[1]
    apart = [
        replace(
            whole,
            objects=(row,),
            mask_logits=whole.mask_logits[[row]],
            iou_predictions=whole.iou_predictions[[row]],
            object_score_logits=whole.object_score_logits[[row]],
            best=whole.best[[row]],
            pointers=whole.pointers[[row]],
        )
        for row in (1, 0)
    ]
    labelled = labelled_like(targets)
    expected = clip_loss(together, targets, labelled, ALL_TERMS)
    split = clip_loss([together[0], *apart], targets, labelled, ALL_TERMS)
    assert split.counts["temporal"].item() == 2
    assert split.total.item() == pytest.approx(expected.total.item(), rel=1e-6)


def test_a_given_mask_is_the_start_of_the_temporal_term():
    targets = make_targets(objects=1, frames=2)
    given_output, later = make_output(0, (0,), 1, is_given=True), make_output(1, (0,), 1)
    setting = only(temporal=1.0)
    loss = clip_loss([given_output, later], targets, labelled_like(targets), setting).total
    # from the truth, the error of the change is the error of the later mask
    error = (upsample(later.mask_logits).sigmoid() - targets[:, 1]).abs().mean()
    assert loss.item() == pytest.approx(error.item(), rel=1e-3)


def test_frames_that_are_not_consecutive_have_no_temporal_term():
    targets = make_targets()
    outputs = [make_output(0, (0, 1)), make_output(2, (0, 1))]
    loss = clip_loss(outputs, targets, labelled_like(targets), ALL_TERMS)
    assert loss.counts["temporal"].item() == 0
    assert loss.terms["temporal"].item() == 0


def test_an_output_without_objects_adds_nothing():
    targets = make_targets()
    outputs = [make_output(0, (0, 1)), make_output(1, (0, 1))]
    expected = clip_loss(outputs, targets, labelled_like(targets), ALL_TERMS).total
    more = [*outputs, make_output(2, ())]
    assert clip_loss(more, targets, labelled_like(targets), ALL_TERMS).total == expected


def test_every_weight_zero_is_refused():
    targets = make_targets()
    with pytest.raises(ValueError, match=r"every weight is 0.*losses\.focal"):
        clip_loss([make_output(0, (0, 1))], targets, labelled_like(targets), only())


@given(st.permutations(range(4)))
@settings(max_examples=5, deadline=None)
def test_the_order_of_objects_does_not_matter(order):
    targets = make_targets(objects=4)
    outputs = [make_output(frame, (0, 1, 2, 3)) for frame in range(3)]
    shuffled = [
        replace(
            output,
            objects=tuple(order),
            mask_logits=output.mask_logits[order],
            iou_predictions=output.iou_predictions[order],
            object_score_logits=output.object_score_logits[order],
        )
        for output in outputs
    ]
    loss, other = (
        clip_loss(some, targets, labelled_like(targets), ALL_TERMS).total
        for some in (outputs, shuffled)
    )
    assert loss.item() == pytest.approx(other.item(), rel=1e-6)


class RefuseWaiting(TorchDispatchMode):
    """Fails on what makes the host wait for a device: reading a value, boolean indexing."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        assert name not in {
            "_local_scalar_dense",
            "nonzero",
            "masked_select",
            "is_nonzero",
            "equal",
        }
        if name in {"index", "index_put", "index_put_"}:
            assert not any(i is not None and i.dtype is torch.bool for i in args[1])
        return func(*args, **(kwargs or {}))


def test_the_device_is_never_waited_for():
    targets = make_targets()
    outputs = [make_output(0, (0, 1), 1, is_given=True)]
    outputs += [with_gradient(make_output(frame, (0, 1))) for frame in (1, 2)]
    with RefuseWaiting():
        clip_loss(outputs, targets, labelled_like(targets), ALL_TERMS).total.backward()


def test_16_bit_outputs_give_a_finite_loss():
    targets = make_targets(frames=1)
    output = make_output(0, (0, 1))
    output = replace(
        output,
        mask_logits=torch.full_like(output.mask_logits, -1024.0).half(),
        iou_predictions=output.iou_predictions.half(),
        object_score_logits=torch.tensor([1e4, -1e4]).half(),
    )
    output = with_gradient(output)
    loss = clip_loss([output], targets, labelled_like(targets), ALL_TERMS).total
    loss.backward()
    assert loss.dtype is torch.float32
    assert torch.isfinite(loss)
    assert all(torch.isfinite(gradient).all() for gradient in gradients(output))
