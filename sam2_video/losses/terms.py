"""Each loss term as a pure function of logits, one number per entry.

An entry is one mask: an object, or one hypothesis of an object. Ignored pixels are left out of
every sum. Everything is computed in float32 or wider, also under autocast, and from logits, so that
16-bit logits of any finite size give finite values and gradients.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor
from torch.autograd.function import once_differentiable

from sam2_video.losses.target import Target


def binary_cross_entropy(
    logits: Float[Tensor, "*entries height width"], target: Target
) -> Float[Tensor, "*entries"]:
    """Return the mean binary cross entropy over the valid pixels."""
    entropies = _cross_entropies(wide(logits) * target.wrong_signs)
    return _pixel_mean(entropies, target.is_valid, target.valid_area)


def focal(
    logits: Float[Tensor, "*entries height width"],
    target: Target,
    alpha: float,
    gamma: float,
) -> Float[Tensor, "*entries"]:
    """Return the mean focal loss (https://arxiv.org/abs/1708.02002) over the valid pixels.

    `alpha` weighs the object's pixels and 1 - alpha the background's; negative = no weights.
    """
    weights = target.is_valid
    if alpha >= 0:
        weights = torch.add((1 - alpha) * weights, target.is_object, alpha=2 * alpha - 1)
    total = _FocalSum.apply(wide(logits), target.wrong_signs, weights, gamma)
    return total / target.valid_area.clamp(min=1)


def dice(
    logits: Float[Tensor, "*entries height width"], target: Target
) -> Float[Tensor, "*entries"]:
    """Return 1 - (2 overlap + 1) / (predicted area + true area + 1), areas of probabilities."""
    overlap, predicted = _soft_areas(logits, target)
    return 1 - (2 * overlap + 1) / (predicted + target.object_area + 1)


def soft_iou(
    logits: Float[Tensor, "*entries height width"], target: Target
) -> Float[Tensor, "*entries"]:
    """Return 1 - (overlap + 1) / (union + 1), areas of probabilities."""
    overlap, predicted = _soft_areas(logits, target)
    return 1 - (overlap + 1) / (predicted + target.object_area - overlap + 1)


def temporal(
    earlier_logits: Float[Tensor, "*entries height width"],
    later_logits: Float[Tensor, "*entries height width"],
    earlier: Target,
    later: Target,
) -> Float[Tensor, "*entries"]:
    """Return the mean of |predicted change - true change| over pixels valid on both frames.

    The changes are those of the object's probability, so an object that moves as in truth costs
    nothing.
    """
    predicted = wide(later_logits).sigmoid() - wide(earlier_logits).sigmoid()
    true = later.is_object - earlier.is_object
    is_valid = earlier.is_valid * later.is_valid
    return _pixel_mean((predicted - true).abs(), is_valid, is_valid.sum((-2, -1)))


def iou_prediction(
    predicted: Float[Tensor, "*entries"],
    actual: Float[Tensor, "*entries"],
    *,
    is_squared: bool = False,
) -> Float[Tensor, "*entries"]:
    """Return |predicted IoU - actual IoU|, or its square; Meta published both (`iou_use_l1_loss`).

    The absolute error is least at the median: a hypothesis that is right for fewer than half of
    the objects is predicted as 0, where the sigmoid no longer learns. The square has no such end.
    """
    error = wide(predicted) - actual
    return error.square() if is_squared else error.abs()


def object_score(
    score_logits: Float[Tensor, "*entries"], is_present: Bool[Tensor, "*entries"]
) -> Float[Tensor, "*entries"]:
    """Return the binary cross entropy of "the object is on this frame"."""
    logits = wide(score_logits)
    return -F.logsigmoid(torch.where(is_present, logits, -logits))


@torch.no_grad()
def mask_iou(
    logits: Float[Tensor, "*entries height width"], target: Target
) -> Float[Tensor, "*entries"]:
    """Return the IoU of the mask (logits > 0) with the truth over valid pixels; 0 if both empty."""
    is_predicted = wide(logits).clone().gt_(0)
    overlap = _weighted_sum(is_predicted, target.is_object)
    union = _weighted_sum(is_predicted, target.is_valid) + target.object_area - overlap
    return overlap / union.clamp(min=1)


def wide(values: Shaped[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return the values in float32, or float64 if they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


class _FocalSum(torch.autograd.Function):
    """The weighted sum of q^gamma times the cross entropy, q being the wrong class' probability.

    Its gradient is written out: finite where q is 0 or 1, and half of the operations.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        logits: Float[Tensor, "*entries height width"],
        wrong_signs: Float[Tensor, "*#entries height width"],
        weights: Float[Tensor, "*#entries height width"],
        gamma: float,
    ) -> Float[Tensor, "*entries"]:
        wrong_logits = logits * wrong_signs
        entropies, wrong = _cross_entropies(wrong_logits), wrong_logits.sigmoid_()
        powers = wrong.pow(gamma)
        ctx.save_for_backward(entropies, wrong, powers, wrong_signs, weights)
        ctx.gamma = gamma
        return _weighted_sum(powers * entropies, weights)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 # pyright: ignore[reportIncompatibleMethodOverride]
        entropies, wrong, powers, wrong_signs, weights = ctx.saved_tensors
        # by the logit of the wrong class, q is the slope of the entropy, and 1 - q that of log q
        slopes = torch.addcmul(wrong, entropies, 1 - wrong, value=ctx.gamma)
        slopes = slopes.mul_(powers).mul_(weights * wrong_signs)
        return slopes.mul_(above[..., None, None]), None, None, None


def _cross_entropies(
    wrong_logits: Float[Tensor, "*entries height width"],
) -> Float[Tensor, "*entries height width"]:
    """Return -log p of the true class from the logit of the wrong one; beyond 40 they are equal."""
    return F.softplus(wrong_logits, threshold=40)


def _soft_areas(
    logits: Float[Tensor, "*entries height width"], target: Target
) -> tuple[Float[Tensor, "*entries"], Float[Tensor, "*entries"]]:
    """Return the areas of the overlap and of the prediction over valid pixels."""
    probabilities = wide(logits).sigmoid()
    return (
        _weighted_sum(probabilities, target.is_object),
        _weighted_sum(probabilities, target.is_valid),
    )


def _pixel_mean(
    values: Float[Tensor, "*entries height width"],
    weights: Float[Tensor, "*#entries height width"],
    area: Float[Tensor, "*#entries"],
) -> Float[Tensor, "*entries"]:
    """Return the weighted sum over the number of valid pixels, 0 where there are none."""
    return _weighted_sum(values, weights) / area.clamp(min=1)


def _weighted_sum(
    values: Float[Tensor, "*entries height width"],
    weights: Float[Tensor, "*#entries height width"],
) -> Float[Tensor, "*entries"]:
    return (values * weights).sum((-2, -1))
