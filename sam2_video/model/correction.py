"""Correct what was said of objects on a frame by clicks, as a user would: one after another."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import Sam2VideoModel

from sam2_video.model.heads import FrameFeatures, HeadOutput, decode, wants_hypotheses
from sam2_video.model.recompute import run_and_keep
from sam2_video.prompts import draw_click
from sam2_video.structures import Corrections

LOGIT_LIMIT = 32.0
"""In evaluation a mask that is corrected enters the decoder clamped to this (SAM 2's value)."""


@dataclass(frozen=True)
class Clicks:
    """How a user corrects in evaluation: `click(number, mask_logits)` answers what was said last.

    It returns points (x, y), in pixels of the model's input, and their labels. An object whose
    labels are all -1 is left as it is.
    """

    num_rounds: int
    click: Callable[[int, Tensor], tuple[Tensor, Tensor]]


def correct(
    network: Sam2VideoModel,
    conditioned: Float[Tensor, "objects channels height width"],
    features: FrameFeatures,
    said: HeadOutput,
    points: Float[Tensor, "objects points 2"] | None,
    labels: Int[Tensor, "objects points"] | None,
    corrections: Corrections | Clicks,
    *,
    is_prompted: bool,
    is_training: bool,
    is_recomputed: bool,
) -> list[HeadOutput]:
    """Return what is said after each click.

    As in Meta's training, the decoder sees all clicks so far and, with its gradient, the mask that
    it said last: of several hypotheses that of highest predicted IoU. In evaluation that is
    clamped, as in Meta's predictor.

    Args:
        network: SAM 2.
        conditioned: this frame's features, conditioned on memory once for all clicks.
        features: the same before that, for the decoder's details.
        said: before the first click.
        points: of the prompt, if there was one.
        labels: of these points.
        corrections: of exactly these objects on this frame; `Clicks` in evaluation.
        is_prompted: the frame was prompted before it was corrected.
        is_training: see `track_frame`.
        is_recomputed: compute the decoder's runs again in backward in place of keeping them.
    """
    clicks = corrections if isinstance(corrections, Clicks) else _draw(corrections)
    answers = []
    for number in range(clicks.num_rounds):
        mask_prompt = said.best_mask_logits
        point, label = clicks.click(number, mask_prompt.squeeze(1))
        points = point if points is None else torch.cat([points, point], dim=1)
        labels = label if labels is None else torch.cat([labels, label], dim=1)
        if not is_training:
            mask_prompt = mask_prompt.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
        inputs = (network, conditioned, features, points, labels, mask_prompt)
        modes = (wants_hypotheses(network, points.shape[1], is_prompted=is_prompted), is_training)
        answer = run_and_keep(not is_recomputed, decode, *inputs, *modes)
        if isinstance(corrections, Clicks):
            answer = _choose((label >= 0).any(1), answer, said)
        answers.append(answer)
        said = answer
    return answers


def _draw(corrections: Corrections) -> Clicks:
    """Return the random clicks of training."""
    return Clicks(corrections.places.shape[1], partial(draw_click, corrections))


def _choose(is_new: Bool[Tensor, " objects"], new: HeadOutput, old: HeadOutput) -> HeadOutput:
    """Return the new of some objects, the old of the others: of each the chosen hypothesis."""
    return HeadOutput(
        mask_logits=torch.where(
            is_new[:, None, None, None], new.best_mask_logits, old.best_mask_logits
        ),
        iou_predictions=torch.where(is_new[:, None], _best_iou(new), _best_iou(old)),
        object_score_logits=torch.where(is_new, new.object_score_logits, old.object_score_logits),
        best=torch.zeros_like(new.best),
        pointers=torch.where(is_new[:, None], new.pointers, old.pointers),
    )


def _best_iou(said: HeadOutput) -> Float[Tensor, "objects 1"]:
    return said.iou_predictions.gather(1, said.best[:, None])
