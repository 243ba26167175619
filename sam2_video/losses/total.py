"""From the sums and counts of loss terms to one number, also where objects came in parts."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sam2_video.config import LossConfig


@dataclass(frozen=True)
class ClipLoss:
    """The loss to go backward from, and what to log.

    `terms` are unweighted, detached and hold every term whose weight is not 0. Averaged over
    ranks they are the values of the joined batch. `counts` are the denominators over all ranks.
    """

    total: Float[Tensor, ""]
    terms: dict[str, Tensor]
    counts: dict[str, Tensor]


@dataclass(frozen=True)
class LossSums:
    """Each active term's counted values of some objects, added up, and their number.

    Those of the parts of a batch add up to those of the whole.
    """

    sums: Float[Tensor, " terms"]
    counts: Int[Tensor, " terms"]

    def __add__(self, other: "LossSums") -> "LossSums":
        """Return the sums over the objects of both."""
        return LossSums(self.sums + other.sums, self.counts + other.counts)


def active_weights(settings: LossConfig) -> dict[str, float]:
    """Return the weights that are not 0 by the name of their term.

    Raises:
        ValueError: if every weight is 0.
    """
    weights = {
        "bce": settings.bce,
        "focal": settings.focal,
        "dice": settings.dice,
        "soft_iou": settings.soft_iou,
        "temporal": settings.temporal,
        "iou_prediction": settings.iou_prediction,
        "object_score": settings.object_score,
    }
    active = {name: weight for name, weight in weights.items() if weight != 0}
    if not active:
        raise ValueError(
            f"losses: every weight is 0, so there is nothing to train; expected at least one of "
            f"losses.{', losses.'.join(weights)} above 0"
        )
    return active


def weigh_sums(
    added: LossSums,
    num_objects: int,
    settings: LossConfig,
    reduce_count: Callable[[Tensor], Tensor] | None = None,
    world_size: int = 1,
) -> ClipLoss:
    """Divide the sums over a whole batch by their counts, and weigh and add the terms.

    Args:
        added: of all objects of the batch.
        num_objects: of the batch; with the reduction `sum` they are what is divided by.
        settings: weights and reduction.
        reduce_count: adds a tensor of counts up over all ranks; called exactly once.
        world_size: number of ranks. The loss is the local sum x world_size / the global count, so
            that gradients averaged over ranks are those of one process on the joined batch.
    """
    weights, counts = active_weights(settings), added.counts
    if settings.reduction == "sum":
        counts = torch.full_like(counts, num_objects)
    if reduce_count is not None:
        counts = reduce_count(counts)
    scales = world_size / counts.clamp(min=1)
    means = dict(zip(weights, added.sums * scales, strict=True))
    return ClipLoss(
        total=torch.stack([weight * means[name] for name, weight in weights.items()]).sum(),
        terms={name: mean.detach() for name, mean in means.items()},
        counts=dict(zip(weights, counts, strict=True)),
    )
