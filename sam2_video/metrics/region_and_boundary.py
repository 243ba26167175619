"""J, F and their relatives as one metric whose sums add up exactly over processes."""

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric

from sam2_video.metrics.objects import ObjectSummary
from sam2_video.metrics.summary import MEANS, Scores, scores_from_totals, totals_of

# Totals are whole numbers of this fraction: adding them is exact, so that a mean does not depend
# on how objects were dealt out to processes; and Apple's GPUs have no float64. 134 million fit.
_UNITS = 2**36


class RegionAndBoundary(Metric):
    """Mean J&F, J, F, ... over the objects of all processes; give each object once.

    >>> from sam2_video.metrics.objects import ObjectScores
    >>> scores = ObjectScores(1)
    >>> mask = torch.ones(4, 6, dtype=torch.uint8)
    >>> _ = scores.update(0, mask.bool(), mask)
    >>> metric = RegionAndBoundary()
    >>> metric.update(scores.summary())
    >>> metric.compute()["jf"].item()
    1.0
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    totals: Tensor
    weights: Tensor
    num_frames: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("totals", "weights"):
            zeros = torch.zeros(len(MEANS), dtype=torch.int64)
            self.add_state(name, default=zeros, dist_reduce_fx="sum")
        self.add_state("num_frames", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, summary: ObjectSummary | None) -> None:
        """Add one object; None, an object that cannot be scored, adds nothing."""
        if summary is None:
            return
        totals, weights = totals_of(summary)
        units = [round(total * _UNITS) for total in totals]
        self.totals += torch.tensor(units, device=self.totals.device)
        self.weights += torch.tensor(weights, device=self.weights.device)
        self.num_frames += summary.num_frames

    def compute(self) -> dict[str, Float[Tensor, ""]]:
        """Return every number of `Scores` by its name."""
        device = self.totals.device
        dtype = torch.float32 if device.type == "mps" else torch.float64
        values = vars(self.scores())
        return {
            name: torch.tensor(value, dtype=dtype, device=device) for name, value in values.items()
        }

    def scores(self) -> Scores:
        """Return the scores of the objects of this process (in `compute`: of all)."""
        totals = [units / _UNITS for units in self.totals.tolist()]
        return scores_from_totals(totals, self.weights.tolist(), int(self.num_frames))
