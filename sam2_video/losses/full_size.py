"""Terms at the targets' size whose backward pass keeps only tensors of the mask decoder's size.

The gradient of a term is computed with its value, and brought back to the decoder's size at once:
a sixteenth of the pixels. It is linear in what comes from above, one number for each object, so
that nothing of full size lives until the backward pass, and nothing is computed there again.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from operator import add
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.autograd.graph import saved_tensors_hooks

from sam2_video.losses.terms import wide
from sam2_video.upsampling import gradient_of_upsample, upsample

Term = Callable[..., Tensor]
"""From masks at the targets' size to one value for each object."""


def at_full_size(
    logits: Float[Tensor, "objects hypotheses _height _width"], size: Sequence[int]
) -> Float[Tensor, "objects hypotheses height width"]:
    """Bring logits to the targets' size, in float32, as Meta's tracker does."""
    return upsample(wide(logits), size)


def values_of_terms(
    terms: Sequence[Term],
    logits: Sequence[Float[Tensor, "objects _height _width"] | None],
    masks: Sequence[Float[Tensor, "objects height width"]],
) -> list[Float[Tensor, " objects"]]:
    """Return the value of each term for each object.

    Args:
        terms: each takes all masks.
        logits: at the decoder's size; they get the gradient. None for a mask that is fixed.
        masks: `at_full_size` of these logits, without a graph.
    """
    is_learning = any(x is not None and x.requires_grad for x in logits)
    if not terms or not is_learning or not torch.is_grad_enabled():
        return [term(*masks) for term in terms]
    return list(_Values.apply(terms, masks, *logits))


class _Values(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        terms: Sequence[Term],
        masks: Sequence[Tensor],
        *logits: Tensor | None,
    ) -> tuple[Tensor, ...]:
        learning = [i for i, needed in enumerate(ctx.needs_input_grad[2:]) if needed]
        values: list[Tensor] = []
        slopes: list[Tensor] = []
        # a checkpoint around would count what is kept in here for a moment
        with torch.enable_grad(), saved_tensors_hooks(_keep, _keep):
            for term in terms:
                leaves = [mask.detach().requires_grad_() for mask in masks]
                value = term(*leaves)
                gradients = torch.autograd.grad(value.sum(), [leaves[i] for i in learning])
                values.append(value.detach())
                slopes += [
                    _shrink(gradient, logits[i])
                    for i, gradient in zip(learning, gradients, strict=True)
                ]
        ctx.save_for_backward(*slopes)
        ctx.learning, ctx.num_logits = learning, len(logits)
        return tuple(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 # pyright: ignore[reportIncompatibleMethodOverride]
        slopes, width = ctx.saved_tensors, len(ctx.learning)
        found: list[Tensor | None] = [None] * ctx.num_logits
        for place, i in enumerate(ctx.learning):
            of_terms = zip(above, slopes[place::width], strict=True)
            found[i] = reduce(add, (value[:, None, None] * slope for value, slope in of_terms))
        return None, None, *found


def _keep(tensor: Tensor) -> Tensor:
    return tensor


def _shrink(gradient: Tensor, logits: Tensor | None) -> Tensor:
    """Return the gradient of what was upsampled from that of the outcome."""
    assert logits is not None
    small = gradient_of_upsample(gradient.unsqueeze(1), logits.shape[-2:])
    return small.squeeze(1).to(logits.dtype)
