"""Reduce the loss terms of all tracker outputs of a batch of clips to one number."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from sam2_video.config import LossConfig
from sam2_video.losses import terms
from sam2_video.losses.total import ClipLoss, LossSums, active_weights, weigh_sums
from sam2_video.structures import IGNORE, OBJECT, FrameOutput, send

MaskTerm = Callable[[Tensor, Tensor], Tensor]

# SAM 2 turns a mask prompt into its output with logits 20 m - 10
GIVEN_LOGIT = 10.0


@dataclass(frozen=True)
class _TermValues:
    """One term's values for some objects, of which only some count."""

    term: str
    values: Float[Tensor, " objects"]
    is_counted: Bool[Tensor, " objects"]


@dataclass(frozen=True)
class _Truth:
    """What the annotation says; `is_present` only where it is supervised."""

    targets: UInt8[Tensor, "objects frames height width"]
    is_supervised: Bool[Tensor, "objects frames"]
    is_present: Bool[Tensor, "objects frames"]

    def on(self, output: FrameOutput) -> "_FrameTruth":
        """Return the rows and the frame that the output speaks of."""
        rows = send(torch.tensor(output.objects, dtype=torch.long), self.targets.device)
        return _FrameTruth(
            self.targets[:, output.frame][rows],
            self.is_supervised[:, output.frame][rows],
            self.is_present[:, output.frame][rows],
        )


@dataclass(frozen=True)
class _FrameTruth:
    """The truth for the objects of one output."""

    targets: UInt8[Tensor, "objects height width"]
    is_supervised: Bool[Tensor, " objects"]
    is_present: Bool[Tensor, " objects"]


@dataclass(frozen=True)
class _Scored:
    """An output with the full-size logits of the hypothesis that the loss chose."""

    output: FrameOutput
    truth: _FrameTruth
    logits: Float[Tensor, "objects height width"]


def clip_loss(
    outputs: Sequence[FrameOutput],
    targets: UInt8[Tensor, "objects frames height width"],
    labelled: Bool[Tensor, "objects frames"],
    settings: LossConfig,
    reduce_count: Callable[[Tensor], Tensor] | None = None,
    world_size: int = 1,
) -> ClipLoss:
    """Compute the weighted loss of all outputs, without waiting for the device.

    Args:
        outputs: what the tracker said; several may share a frame (clicks, or other objects).
        targets: 0, 1 and 255 at the size at which the loss is computed.
        labelled: where it is False, the targets say nothing and count nowhere.
        settings: weights and reduction; a term of weight 0 is neither computed nor reported.
        reduce_count: see `weigh_sums`.
        world_size: see `weigh_sums`.

    Raises:
        ValueError: if every weight is 0.
    """
    added = sum_terms(outputs, targets, labelled, settings)
    return weigh_sums(added, targets.shape[0], settings, reduce_count, world_size)


def sum_terms(
    outputs: Sequence[FrameOutput],
    targets: UInt8[Tensor, "objects frames height width"],
    labelled: Bool[Tensor, "objects frames"],
    settings: LossConfig,
) -> LossSums:
    """Add up every active term over the outputs of some objects, all of their frames."""
    weights = active_weights(settings)
    truth = _read_truth(targets, labelled)
    scored = [_score(output, truth.on(output), settings, weights) for output in outputs]
    values: list[_TermValues] = []
    for item in scored:
        # what was given is no prediction; Meta's sum counts it all the same
        if settings.reduction == "sum" or not item.output.is_given:
            values += _values_of(item, settings, weights)
    if "temporal" in weights:
        values += _temporal_values(scored)
    return LossSums(
        sums=torch.stack([_sum(values, name, targets.device) for name in weights]),
        counts=torch.stack([_count(values, name, targets.device) for name in weights]),
    )


def _mask_terms(settings: LossConfig) -> dict[str, MaskTerm]:
    """Return the terms that compare one mask with its target."""
    return {
        "bce": terms.binary_cross_entropy,
        "focal": partial(terms.focal, alpha=settings.focal_alpha, gamma=settings.focal_gamma),
        "dice": terms.dice,
        "soft_iou": terms.soft_iou,
    }


def _read_truth(
    targets: UInt8[Tensor, "objects frames height width"], labelled: Bool[Tensor, "objects frames"]
) -> _Truth:
    """Tell present, absent and unknown apart; a frame that is all ignored is unknown."""
    is_supervised = labelled & (targets != IGNORE).flatten(2).any(-1)
    return _Truth(targets, is_supervised, is_supervised & (targets == OBJECT).flatten(2).any(-1))


def _score(
    output: FrameOutput, truth: _FrameTruth, settings: LossConfig, weights: Mapping[str, float]
) -> _Scored:
    """Choose a hypothesis per object and bring it to the targets' size."""
    if output.is_given:
        # the prompt is the truth; its low-resolution logits have lost the edges
        logits = torch.where(truth.targets == OBJECT, GIVEN_LOGIT, -GIVEN_LOGIT)
        return _Scored(output, truth, logits)
    rows = torch.arange(len(output.objects), device=output.best.device)
    best = _choose(output, truth.targets, settings, weights)
    # only the chosen hypothesis is upsampled with a graph: a third of the memory
    logits = _upsample(output.mask_logits[rows, best].unsqueeze(1), truth.targets)
    return _Scored(output, truth, logits.squeeze(1))


@torch.no_grad()
def _choose(
    output: FrameOutput,
    targets: UInt8[Tensor, "objects height width"],
    settings: LossConfig,
    weights: Mapping[str, float],
) -> Int[Tensor, " objects"]:
    """Return the hypothesis of least weighted mask loss; the tracker's own if none has a weight."""
    mask_terms = {n: term for n, term in _mask_terms(settings).items() if n in weights}
    if not mask_terms or output.mask_logits.shape[1] == 1:
        return output.best
    logits = _upsample(output.mask_logits, targets)
    repeated = targets.unsqueeze(1).expand(logits.shape)
    losses = [weights[name] * term(logits, repeated) for name, term in mask_terms.items()]
    return torch.stack(losses).sum(0).argmin(-1)


def _values_of(
    item: _Scored, settings: LossConfig, weights: Mapping[str, float]
) -> list[_TermValues]:
    """Return all terms of one output except the temporal one."""
    truth, output = item.truth, item.output
    values = [
        _TermValues(name, term(item.logits, truth.targets), truth.is_present)
        for name, term in _mask_terms(settings).items()
        if name in weights
    ]
    if "iou_prediction" in weights:
        is_squared = settings.iou_regression == "l2"
        loss = terms.iou_prediction(
            output.iou_predictions, _actual_ious(item), is_squared=is_squared
        )
        values.append(_TermValues("iou_prediction", loss.mean(-1), truth.is_present))
    if "object_score" in weights:
        loss = terms.object_score(output.object_score_logits, truth.is_present)
        values.append(_TermValues("object_score", loss, truth.is_supervised))
    return values


@torch.no_grad()
def _actual_ious(item: _Scored) -> Float[Tensor, "objects hypotheses"]:
    """Return every hypothesis' true IoU at the targets' size."""
    logits = item.logits.unsqueeze(1)
    if not item.output.is_given:
        logits = _upsample(item.output.mask_logits, item.truth.targets)
    return terms.mask_iou(logits, item.truth.targets.unsqueeze(1).expand(logits.shape))


def _temporal_values(scored: Sequence[_Scored]) -> list[_TermValues]:
    """Return the temporal term of every object that is supervised on two consecutive frames.

    Where clicks make several outputs of one frame, the last one speaks. A given mask counts as
    the prediction of its frame: the first step away from the prompt is a change like any other.
    """
    last = {
        (item.output.frame, rows_object): (index, row)
        for index, item in enumerate(scored)
        for row, rows_object in enumerate(item.output.objects)
    }
    pairs: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for (frame, rows_object), (later, later_row) in last.items():
        if (frame - 1, rows_object) in last:
            earlier, earlier_row = last[frame - 1, rows_object]
            pairs[earlier, later].append((earlier_row, later_row))
    return [
        _temporal_pair(scored[earlier], scored[later], rows)
        for (earlier, later), rows in pairs.items()
    ]


def _temporal_pair(
    earlier: _Scored, later: _Scored, rows: Sequence[tuple[int, int]]
) -> _TermValues:
    """Return the temporal term between two outputs for the given (earlier, later) rows."""
    earlier_rows, later_rows = send(torch.tensor(rows), later.logits.device).unbind(1)
    targets = earlier.truth.targets[earlier_rows], later.truth.targets[later_rows]
    loss = terms.temporal(earlier.logits[earlier_rows], later.logits[later_rows], *targets)
    is_counted = (
        earlier.truth.is_supervised[earlier_rows]
        & later.truth.is_supervised[later_rows]
        & ((targets[0] != IGNORE) & (targets[1] != IGNORE)).flatten(1).any(-1)
    )
    return _TermValues("temporal", loss, is_counted)


def _upsample(
    logits: Float[Tensor, "objects hypotheses _height _width"],
    targets: UInt8[Tensor, "objects height width"],
) -> Float[Tensor, "objects hypotheses height width"]:
    """Bring logits to the targets' size, in float32, as Meta's tracker does."""
    size = targets.shape[-2:]
    return F.interpolate(terms.wide(logits), size=size, mode="bilinear", align_corners=False)


def _sum(values: Sequence[_TermValues], term: str, device: torch.device) -> Float[Tensor, ""]:
    """Add up the term's counted values."""
    sums = [torch.where(v.is_counted, v.values, 0).sum() for v in values if v.term == term]
    return torch.stack(sums).sum() if sums else torch.zeros((), device=device)


def _count(values: Sequence[_TermValues], term: str, device: torch.device) -> Int[Tensor, ""]:
    """Count the term's counted values."""
    counts = [v.is_counted.sum() for v in values if v.term == term]
    return torch.stack(counts).sum() if counts else torch.zeros((), dtype=torch.long, device=device)
