"""Terms at the targets' size: the same values and gradients as a plain graph, and little kept."""

from dataclasses import replace

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from sam2_video.config import LossConfig
from sam2_video.losses import clip, clip_loss
from tests.loss_inputs import (
    ALL_TERMS,
    gradients,
    labelled_like,
    make_output,
    make_targets,
    upsample,
    with_gradient,
)

SIZE = 16


def plain_values(terms, logits, masks):
    """Return the same values with a graph that keeps what is of full size."""
    grown = [
        mask if small is None else upsample(small.float().unsqueeze(1)).squeeze(1)
        for small, mask in zip(logits, masks, strict=True)
    ]
    return [term(*grown) for term in terms]


def make_outputs(hypotheses=3):
    given = make_output(0, (0, 1), 1, is_given=True)
    return [given, *(with_gradient(make_output(frame, (0, 1), hypotheses)) for frame in (1, 2))]


def hard_targets():
    """Objects that are absent, unlabelled, or ignored in part."""
    targets = make_targets()
    targets[1, 2] = 0
    targets[0, 1, :4] = 255
    labelled = labelled_like(targets)
    labelled[1, 1] = False
    return targets, labelled


def learn(outputs, settings, *, is_checkpointed=False):
    def compute(_):
        return clip_loss(outputs, *hard_targets(), settings).total

    total = (
        checkpoint(compute, outputs[1].mask_logits, use_reentrant=False)
        if is_checkpointed
        else compute(None)
    )
    total.backward()
    return total, torch.cat([g.flatten() for output in outputs[1:] for g in gradients(output)])


@pytest.mark.parametrize("hypotheses", [1, 3])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("is_checkpointed", [False, True])
def test_values_and_gradients_are_those_of_a_plain_graph(
    hypotheses, reduction, is_checkpointed, monkeypatch
):
    settings = replace(ALL_TERMS, reduction=reduction)
    total, found = learn(make_outputs(hypotheses), settings, is_checkpointed=is_checkpointed)
    monkeypatch.setattr(clip, "values_of_terms", plain_values)
    plain_total, expected = learn(make_outputs(hypotheses), settings)
    assert total.item() == pytest.approx(plain_total.item(), rel=1e-6)
    assert (found - expected).norm() <= 1e-6 * expected.norm()


def largest_kept(settings):
    sizes = [0]

    def pack(tensor):
        sizes.append(tensor.numel())
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        total = clip_loss(make_outputs(), *hard_targets(), settings).total
    total.backward()
    return max(sizes)


def test_nothing_of_full_size_is_kept_for_backward(monkeypatch):
    num_small = make_outputs()[1].mask_logits.numel()
    assert largest_kept(ALL_TERMS) <= num_small < 2 * SIZE**2
    monkeypatch.setattr(clip, "values_of_terms", plain_values)
    assert largest_kept(ALL_TERMS) >= 2 * SIZE**2


class CountMasks(TorchDispatchMode):
    """Counts the masks that are upsampled."""

    def __init__(self):
        super().__init__()
        self.number = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ == "upsample_bilinear2d":
            self.number += args[0].shape[0] * args[0].shape[1]
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("settings", "hypotheses", "expected"),
    [
        (LossConfig(), 3, 2 * 2 * 3),
        (LossConfig(iou_prediction=0.0), 1, 2 * 2),
        (LossConfig(focal=0.0, dice=0.0), 3, 2 * 2 * 3),
        (LossConfig(focal=0.0, dice=0.0, iou_prediction=0.0), 3, 0),
    ],
)
def test_each_hypothesis_is_upsampled_once_and_only_if_it_is_needed(settings, hypotheses, expected):
    with CountMasks() as counted:
        clip_loss(make_outputs(hypotheses), *hard_targets(), settings).total.backward()
    assert counted.number == expected
