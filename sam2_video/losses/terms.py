"""Each loss term as a pure function of logits, one number per entry.

An entry is one mask: an object, or one hypothesis of an object. Targets hold 0, 1 and 255; pixels
of 255 are left out of every sum. Everything is computed in float32 or wider, also under autocast,
and from logits, so that 16-bit logits of any finite size give finite values and gradients.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int32, Shaped, UInt8
from torch import Tensor

from sam2_video.structures import IGNORE, OBJECT


def binary_cross_entropy(
    logits: Float[Tensor, "*entries height width"], targets: UInt8[Tensor, "*#entries height width"]
) -> Float[Tensor, "*entries"]:
    """Return the mean binary cross entropy over the valid pixels."""
    is_valid = targets != IGNORE
    return -_pixel_mean(F.logsigmoid(_margins(logits, targets)), is_valid, is_valid)


def focal(
    logits: Float[Tensor, "*entries height width"],
    targets: UInt8[Tensor, "*#entries height width"],
    alpha: float,
    gamma: float,
) -> Float[Tensor, "*entries"]:
    """Return the mean focal loss (https://arxiv.org/abs/1708.02002) over the valid pixels.

    `alpha` weighs the object's pixels and 1 - alpha the background's; negative = no weights.
    """
    margins = _margins(logits, targets)
    true = F.logsigmoid(margins)
    # (1 - p)^gamma through the logarithm: its gradient stays finite where p reaches 1
    values = true * torch.exp(gamma * (true - margins))
    is_valid = targets != IGNORE
    weights = is_valid if alpha < 0 else is_valid * torch.where(targets == OBJECT, alpha, 1 - alpha)
    return -_pixel_mean(values, weights, is_valid)


def dice(
    logits: Float[Tensor, "*entries height width"], targets: UInt8[Tensor, "*#entries height width"]
) -> Float[Tensor, "*entries"]:
    """Return 1 - (2 overlap + 1) / (predicted area + true area + 1), areas of probabilities."""
    overlap, predicted, true = _soft_areas(logits, targets)
    return 1 - (2 * overlap + 1) / (predicted + true + 1)


def soft_iou(
    logits: Float[Tensor, "*entries height width"], targets: UInt8[Tensor, "*#entries height width"]
) -> Float[Tensor, "*entries"]:
    """Return 1 - (overlap + 1) / (union + 1), areas of probabilities."""
    overlap, predicted, true = _soft_areas(logits, targets)
    return 1 - (overlap + 1) / (predicted + true - overlap + 1)


def temporal(
    earlier_logits: Float[Tensor, "*entries height width"],
    later_logits: Float[Tensor, "*entries height width"],
    earlier_targets: UInt8[Tensor, "*#entries height width"],
    later_targets: UInt8[Tensor, "*#entries height width"],
) -> Float[Tensor, "*entries"]:
    """Return the mean of |predicted change - true change| over pixels valid on both frames.

    The changes are those of the object's probability, so an object that moves as in truth costs
    nothing.
    """
    predicted = wide(later_logits).sigmoid() - wide(earlier_logits).sigmoid()
    true = (later_targets == OBJECT).to(predicted) - (earlier_targets == OBJECT).to(predicted)
    is_valid = (earlier_targets != IGNORE) & (later_targets != IGNORE)
    return _pixel_mean((predicted - true).abs(), is_valid, is_valid)


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
    logits: Float[Tensor, "*entries height width"], targets: UInt8[Tensor, "*#entries height width"]
) -> Float[Tensor, "*entries"]:
    """Return the IoU of the mask (logits > 0) with the truth over valid pixels; 0 if both empty."""
    is_valid, is_true = targets != IGNORE, targets == OBJECT
    is_predicted = (logits > 0) & is_valid
    overlap = _area(is_predicted & is_true)
    union = _area(is_predicted) + _area(is_true) - overlap
    return overlap / union.clamp(min=1)


def wide(values: Shaped[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return the values in float32, or float64 if they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _margins(
    logits: Float[Tensor, "*entries height width"], targets: UInt8[Tensor, "*#entries height width"]
) -> Float[Tensor, "*entries height width"]:
    """Return the logit of the true class at every pixel."""
    # products with numbers, here and below: on a CPU `torch.where` takes ten times as long
    values = wide(logits)
    return values * torch.where(targets == OBJECT, 1, -1).to(values.dtype)


def _soft_areas(
    logits: Float[Tensor, "*entries height width"], targets: UInt8[Tensor, "*#entries height width"]
) -> tuple[
    Float[Tensor, "*entries"],
    Float[Tensor, "*entries"],
    Float[Tensor, "*#entries"],
]:
    """Return the areas of the overlap, of the prediction and of the truth over valid pixels."""
    probabilities, is_true = wide(logits).sigmoid(), targets == OBJECT
    overlap = _weighted_sum(probabilities, is_true)
    predicted = _weighted_sum(probabilities, targets != IGNORE)
    return overlap, predicted, _area(is_true).to(predicted)


def _pixel_mean(
    values: Float[Tensor, "*entries height width"],
    weights: Shaped[Tensor, "*#entries height width"],
    is_valid: Bool[Tensor, "*#entries height width"],
) -> Float[Tensor, "*entries"]:
    """Return the weighted sum over the number of valid pixels, 0 where there are none."""
    return _weighted_sum(values, weights) / _area(is_valid).clamp(min=1)


def _weighted_sum(
    values: Float[Tensor, "*entries height width"],
    weights: Shaped[Tensor, "*#entries height width"],
) -> Float[Tensor, "*entries"]:
    return (values * weights.to(values.dtype)).sum((-2, -1))


def _area(is_in: Bool[Tensor, "*entries height width"]) -> Int32[Tensor, "*entries"]:
    """Count pixels; a sum of bytes is quicker than one of booleans."""
    return is_in.view(torch.uint8).sum((-2, -1), dtype=torch.int32)
