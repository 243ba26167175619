"""Means of scores over objects: of one object, of a video, of a data set."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sam2_video.metrics.objects import ObjectSummary

MEANS = (
    "j",
    "f",
    "j_recall",
    "j_decay",
    "f_recall",
    "f_decay",
    "returned_j",
    "returned_f",
    "mean_iou",
    "dice",
    "absent_correct",
)
"""The numbers that are means; each has a total and a weight, which add up."""


@dataclass(frozen=True)
class Scores:
    """Scores between 0 and 1 (decay: -1 and 1), NaN where there is nothing to average.

    J, F, their recall and decay, and the scores on returned frames are means over objects, each
    of which is a mean over its frames. `mean_iou` and `dice` are means over all frames of all
    objects on which truth or prediction shows the object; `absent_correct` is the share of
    frames without the object (after it had been seen) on which the prediction is empty.
    """

    num_objects: int
    num_frames: int
    jf: float
    j: float
    f: float
    j_recall: float
    j_decay: float
    f_recall: float
    f_decay: float
    mean_iou: float
    dice: float
    num_returning_objects: int
    returned_jf: float
    returned_j: float
    returned_f: float
    num_absent_frames: int
    absent_correct: float

    def as_dict(self) -> dict[str, float | int | None]:
        """Return the scores under the names of the field (`J`, `J_recall`, ...), NaN as None."""
        named = {
            name: getattr(self, attribute)
            for attribute, name in ((field, _PUBLIC.get(field, field)) for field in _FIELDS)
        }
        return {name: None if math.isnan(value) else value for name, value in named.items()}


_FIELDS = tuple(Scores.__dataclass_fields__)
_PUBLIC = {
    "jf": "JF",
    "j": "J",
    "f": "F",
    "j_recall": "J_recall",
    "j_decay": "J_decay",
    "f_recall": "F_recall",
    "f_decay": "F_decay",
    "returned_jf": "returned_JF",
    "returned_j": "returned_J",
    "returned_f": "returned_F",
}


def totals_of(summary: ObjectSummary) -> tuple[list[float], list[int]]:
    """Return an object's totals and weights, in the order of `MEANS`."""
    has_returned = int(summary.num_returned > 0)
    totals = [
        summary.j,
        summary.f,
        summary.j_recall,
        summary.j_decay,
        summary.f_recall,
        summary.f_decay,
        summary.returned_j if has_returned else 0.0,
        summary.returned_f if has_returned else 0.0,
        summary.iou_total,
        summary.dice_total,
        float(summary.num_left_empty),
    ]
    weights = [1] * 6 + [has_returned] * 2 + [summary.num_shown] * 2 + [summary.num_absent]
    return totals, weights


def scores_from_totals(totals: Sequence[float], weights: Sequence[int], num_frames: int) -> Scores:
    """Return the means of totals and weights in the order of `MEANS`."""
    means = {
        name: total / weight if weight else math.nan
        for name, total, weight in zip(MEANS, totals, weights, strict=True)
    }
    number = dict(zip(MEANS, weights, strict=True))
    return Scores(
        num_objects=number["j"],
        num_frames=num_frames,
        jf=(means["j"] + means["f"]) / 2,
        num_returning_objects=number["returned_j"],
        returned_jf=(means["returned_j"] + means["returned_f"]) / 2,
        num_absent_frames=number["absent_correct"],
        **means,
    )


def mean_scores(objects: Iterable[ObjectSummary]) -> Scores:
    """Return the means over objects, each of which weighs the same in J and F."""
    objects = list(objects)
    pairs = [totals_of(summary) for summary in objects]
    totals = [math.fsum(total[place] for total, _ in pairs) for place in range(len(MEANS))]
    weights = [sum(weight[place] for _, weight in pairs) for place in range(len(MEANS))]
    return scores_from_totals(totals, weights, sum(summary.num_frames for summary in objects))
