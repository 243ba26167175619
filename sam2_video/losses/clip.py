"""Reduce the loss terms of all tracker outputs of a batch of clips to one number."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from sam2_video.config import LossConfig
from sam2_video.losses import terms
from sam2_video.losses.full_size import at_full_size, values_of_terms
from sam2_video.losses.target import Target
from sam2_video.losses.total import ClipLoss, LossSums, active_weights, weigh_sums
from sam2_video.structures import FrameOutput, send

MaskTerm = Callable[[Tensor, Target], Tensor]

# SAM 2 turns a mask prompt into its output with logits 20 m - 10
GIVEN_LOGIT = 10.0


@dataclass(frozen=True)
class _TermValues:
    """One term's values for some objects, of which only some count."""

    term: str
    values: Float[Tensor, " objects"]
    is_counted: Bool[Tensor, " objects"]


@dataclass(frozen=True)
class _Annotation:
    """What was annotated of the objects of one output: bytes, for they are kept for all outputs."""

    targets: UInt8[Tensor, "objects height width"]
    is_labelled: Bool[Tensor, " objects"]


@dataclass(frozen=True)
class _Truth:
    """What an annotation says, while terms ask; `is_present` only where it is supervised."""

    target: Target
    is_supervised: Bool[Tensor, " objects"]
    is_present: Bool[Tensor, " objects"]


@dataclass(frozen=True)
class _Scored:
    """An output with what its terms say; `logits` of the chosen hypotheses, None if given."""

    output: FrameOutput
    annotation: _Annotation
    logits: Float[Tensor, "objects _height _width"] | None
    values: list[_TermValues]

    def pick(self, rows: Tensor, target: Target) -> tuple[Tensor | None, Tensor]:
        """Return some objects' logits, and their masks at the targets' size without a graph."""
        if self.logits is None:
            return None, _given(target)
        logits = self.logits[rows]
        return logits, at_full_size(logits.detach().unsqueeze(1), target.size).squeeze(1)


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
    scored = [
        _score(output, _annotation_of(output, targets, labelled), settings, weights)
        for output in outputs
    ]
    values = [value for item in scored for value in item.values]
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


def _annotation_of(
    output: FrameOutput,
    targets: UInt8[Tensor, "objects frames height width"],
    labelled: Bool[Tensor, "objects frames"],
) -> _Annotation:
    """Return the rows and the frame that the output speaks of."""
    rows = send(torch.tensor(output.objects, dtype=torch.long), targets.device)
    return _Annotation(targets[:, output.frame][rows], labelled[:, output.frame][rows])


def _read(annotation: _Annotation, dtype: torch.dtype) -> _Truth:
    """Tell present, absent and unknown apart; a frame that is all ignored is unknown."""
    target = Target.read(annotation.targets, dtype)
    is_supervised = annotation.is_labelled & (target.valid_area > 0)
    return _Truth(target, is_supervised, is_supervised & (target.object_area > 0))


def _score(
    output: FrameOutput,
    annotation: _Annotation,
    settings: LossConfig,
    weights: Mapping[str, float],
) -> _Scored:
    """Choose a hypothesis per object and compute all terms except the temporal one."""
    mask_terms = {n: term for n, term in _mask_terms(settings).items() if n in weights}
    # what was given is no prediction; Meta's sum counts it all the same
    is_counted = settings.reduction == "sum" or not output.is_given
    best, masks = output.best, None
    truth = _read(annotation, output.mask_logits.dtype)
    if is_counted and (mask_terms or "iou_prediction" in weights):
        masks = _masks_of(output, truth.target)
        best = _choose(masks, output.best, truth.target, mask_terms, weights)
    rows = torch.arange(len(output.objects), device=best.device)
    logits = None if output.is_given else output.mask_logits[rows, best]
    values: list[_TermValues] = []
    if masks is not None:
        on_truth = [partial(_against, truth.target, term) for term in mask_terms.values()]
        found = values_of_terms(on_truth, [logits], [masks[rows, best]])
        named = zip(mask_terms, found, strict=True)
        values += [_TermValues(name, value, truth.is_present) for name, value in named]
    if is_counted:
        values += _values_of_heads(output, truth, masks, settings, weights)
    return _Scored(output, annotation, logits, values)


def _against(target: Target, term: MaskTerm, masks: Tensor) -> Tensor:
    return term(masks, target)


@torch.no_grad()
def _masks_of(
    output: FrameOutput, target: Target
) -> Float[Tensor, "objects hypotheses height width"]:
    """Return every hypothesis at the targets' size."""
    if output.is_given:
        return _given(target).unsqueeze(1)
    return at_full_size(output.mask_logits, target.size)


def _given(target: Target) -> Float[Tensor, "*entries height width"]:
    """Return the logits of a given mask: of the truth, for at a low resolution edges are lost."""
    return 2 * GIVEN_LOGIT * target.is_object - GIVEN_LOGIT


@torch.no_grad()
def _choose(
    masks: Float[Tensor, "objects hypotheses height width"],
    best: Int[Tensor, " objects"],
    target: Target,
    mask_terms: Mapping[str, MaskTerm],
    weights: Mapping[str, float],
) -> Int[Tensor, " objects"]:
    """Return the hypothesis of least weighted mask loss; the tracker's own if none has a weight."""
    if not mask_terms or masks.shape[1] == 1:
        return best
    losses = [
        weights[name] * values_of_hypotheses(term, masks, target)
        for name, term in mask_terms.items()
    ]
    return torch.stack(losses).sum(0).argmin(-1)


def values_of_hypotheses(
    term: MaskTerm, masks: Float[Tensor, "objects hypotheses height width"], target: Target
) -> Float[Tensor, "objects hypotheses"]:
    """Return what a term says of each; on a CPU one at a time: what it needs stays in a cache."""
    if masks.device.type != "cpu":
        return term(masks, target.unsqueeze(1))
    return torch.stack([term(hypothesis, target) for hypothesis in masks.unbind(1)], -1)


def _values_of_heads(
    output: FrameOutput,
    truth: _Truth,
    masks: Float[Tensor, "objects hypotheses height width"] | None,
    settings: LossConfig,
    weights: Mapping[str, float],
) -> list[_TermValues]:
    """Return the terms of what the decoder says about its masks."""
    values = []
    if "iou_prediction" in weights:
        assert masks is not None
        actual = values_of_hypotheses(terms.mask_iou, masks, truth.target)
        is_squared = settings.iou_regression == "l2"
        loss = terms.iou_prediction(output.iou_predictions, actual, is_squared=is_squared)
        values.append(_TermValues("iou_prediction", loss.mean(-1), truth.is_present))
    if "object_score" in weights:
        loss = terms.object_score(output.object_score_logits, truth.is_present)
        values.append(_TermValues("object_score", loss, truth.is_supervised))
    return values


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
    earlier_rows, later_rows = send(torch.tensor(rows), later.annotation.targets.device).unbind(1)
    past = Target.read(earlier.annotation.targets[earlier_rows], earlier.output.mask_logits.dtype)
    now = Target.read(later.annotation.targets[later_rows], later.output.mask_logits.dtype)

    def term(earlier_masks: Tensor, later_masks: Tensor) -> Tensor:
        return terms.temporal(earlier_masks, later_masks, past, now)

    before, mask_before = earlier.pick(earlier_rows, past)
    after, mask_after = later.pick(later_rows, now)
    (loss,) = values_of_terms([term], [before, after], [mask_before, mask_after])
    is_counted = (
        earlier.annotation.is_labelled[earlier_rows]
        & later.annotation.is_labelled[later_rows]
        & ((past.is_valid * now.is_valid).sum((-2, -1)) > 0)
    )
    return _TermValues("temporal", loss, is_counted)


def _sum(values: Sequence[_TermValues], term: str, device: torch.device) -> Float[Tensor, ""]:
    """Add up the term's counted values."""
    of_term = [value for value in values if value.term == term]
    if not of_term:
        return torch.zeros((), device=device)
    is_counted = torch.cat([value.is_counted for value in of_term])
    return torch.where(is_counted, torch.cat([value.values for value in of_term]), 0).sum()


def _count(values: Sequence[_TermValues], term: str, device: torch.device) -> Int[Tensor, ""]:
    """Count the term's counted values."""
    counted = [value.is_counted for value in values if value.term == term]
    return torch.cat(counted).sum() if counted else torch.zeros((), dtype=torch.long, device=device)
