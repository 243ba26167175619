"""How far apart two sides of a parity case are: outputs, loss, and gradients tensor by tensor."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tests.model.parity import Said

BLIND = re.compile(r"mask_decoder\.transformer\..*k_proj\.bias")
"""Biases of keys in the decoder: they add the same to all of a query's scores, and softmax is blind
to that. Their gradient is 0 in exact arithmetic and rounding noise in any other, so they have no
size of their own: their difference is taken relative to that of all tensors together.

The keys of memory attention are rotated after the bias is added: softmax does see theirs.
"""
OUTPUT_TOLERANCE = 1e-5
LOSS_TOLERANCE = 1e-5
TOTAL_TOLERANCE = 1e-4
TENSOR_TOLERANCE = 1e-3
BLIND_TOLERANCE = 1e-7
VECTOR_AXES = {"hypotheses": 2, "masks": 2, "given masks": 2, "iou": 1, "pointers": 1}
"""How many last axes make one vector, whose difference is taken relative to its length.

So an absent object's mask, -1024 everywhere, hides nothing of its neighbours'. Scores, single
numbers, make one vector over all frames.
"""


@dataclass(frozen=True)
class TensorGap:
    """How far apart two gradients, or two sets of parameters, are.

    `total` is relative to the length of all tensors together, `tensor` is the worst tensor's
    relative to its own, `blind` that of the worst of the BLIND, relative to all together.
    """

    total: float
    tensor: float
    worst: str
    blind: float


@dataclass(frozen=True)
class Gap:
    """How far two sides are apart; every number is relative to the second's size."""

    outputs: dict[str, float]
    loss: float
    terms: dict[str, float]
    gradients: dict[str, TensorGap]


def compare(ours: Said, theirs: Said) -> Gap:
    """Return the relative differences; of outputs, the worst over objects and frames."""
    return Gap(
        outputs={
            kind: _worst(kind, found, theirs.outputs[kind]) for kind, found in ours.outputs.items()
        },
        loss=abs(1 - float(ours.loss.detach() / theirs.loss.detach())),
        terms={name: abs(1 - value / theirs.terms[name]) for name, value in ours.terms.items()},
        gradients={
            name: compare_tensors(gradient, theirs.gradients[name])
            for name, gradient in ours.gradients.items()
        },
    )


def excesses(gap: Gap, loss: str = "official") -> list[str]:
    """Say what of outputs, loss and this loss's gradient is above the tolerances of fp32."""
    gradient = gap.gradients[loss]
    found = [(kind, error, OUTPUT_TOLERANCE) for kind, error in gap.outputs.items()]
    found += [(f"loss {name}", error, LOSS_TOLERANCE) for name, error in gap.terms.items()]
    found += [
        ("loss", gap.loss, LOSS_TOLERANCE),
        (f"gradient of the {loss} loss", gradient.total, TOTAL_TOLERANCE),
        (f"gradient of {gradient.worst}", gradient.tensor, TENSOR_TOLERANCE),
        ("gradient of what softmax is blind to", gradient.blind, BLIND_TOLERANCE),
    ]
    # a gap that is not a number is not below anything
    return [f"{what}: {error:.1e} > {limit}" for what, error, limit in found if not error <= limit]


def compare_tensors(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> TensorGap:
    """Compare what both have under the same names: gradients, or parameters."""
    apart = {name: float((found - theirs[name]).norm()) for name, found in ours.items()}
    sizes = {name: float(theirs[name].norm()) for name in ours}
    total = math.hypot(*sizes.values())
    # where theirs is exactly 0, as for what the case does not use, ours has to be
    errors = {
        name: apart[name] / size if size else (math.inf if apart[name] else 0.0)
        for name, size in sizes.items()
        if not BLIND.fullmatch(name)
    }
    worst = max(errors, key=errors.__getitem__)
    return TensorGap(
        total=math.hypot(*apart.values()) / total,
        tensor=errors[worst],
        worst=worst,
        blind=max(apart[name] for name in apart if BLIND.fullmatch(name)) / total,
    )


def _worst(kind: str, ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    if not theirs:
        return 0.0
    if kind not in VECTOR_AXES:
        return _relative(torch.cat(list(ours)), torch.cat(list(theirs)))
    axes = VECTOR_AXES[kind]
    return max(
        _relative(mine, expected)
        for found, other in zip(ours, theirs, strict=True)
        for mine, expected in zip(
            found.flatten(0, -1 - axes), other.flatten(0, -1 - axes), strict=True
        )
    )


def _relative(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).detach().norm() / theirs.detach().norm())
