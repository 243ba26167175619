"""Region similarity J, the intersection over union of masks, as VOS benchmarks average it."""

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torchmetrics import Metric

from sam2_video.structures import IGNORE, OBJECT


def region_similarity(
    prediction: Bool[Tensor, "frames height width"], target: UInt8[Tensor, "frames height width"]
) -> Float[Tensor, " frames"]:
    """Return J of one object on every frame.

    Pixels of 255 do not count; a frame that is nothing else has no J (NaN). Where prediction and
    target are both empty, J is 1, as in DAVIS' evaluation.
    """
    is_valid = target != IGNORE
    is_true = target == OBJECT
    is_predicted = prediction & is_valid
    # sums of booleans are int64: areas do not wrap around
    overlap = (is_predicted & is_true).sum((1, 2))
    union = (is_predicted | is_true).sum((1, 2))
    similarity = torch.where(union > 0, overlap / union.clamp(min=1), 1.0)
    return torch.where(is_valid.any(2).any(1), similarity, torch.nan)


class RegionSimilarity(Metric):
    """Mean J over objects, each object's J being the mean over its scored frames.

    The caller passes the frames that count: labelled ones, without the frame of the prompt (and
    without the last one, where a benchmark says so). Adds up over processes.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    total: Tensor
    num_objects: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", default=torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("num_objects", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, similarity: Float[Tensor, " frames"]) -> None:
        """Add one object's J on its frames; one without a frame that can be scored adds nothing."""
        mean = similarity.nanmean()
        is_scored = mean.isfinite()
        self.total += torch.where(is_scored, mean, 0.0)
        self.num_objects += is_scored

    def compute(self) -> Float[Tensor, ""]:
        """Return the mean over all objects of all processes; NaN if there were none."""
        return self.total / self.num_objects
