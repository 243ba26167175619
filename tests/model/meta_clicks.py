"""Correction clicks in Meta's SAM2Train: where it would draw its own, it is given ours."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from sam2_video import prompts
from sam2_video.structures import Corrections

Drawn = dict[tuple[int, int], tuple[Tensor, Tensor]]
"""Points and labels of each (frame, number of the click), one row an object."""


@dataclass(frozen=True)
class Clicks:
    """How many frames are corrected, those prompted before others, and by how many clicks.

    `from_truth` is the share of clicks drawn from the object.
    """

    num_frames: int = 1
    num_clicks: int = 7
    from_truth: float = 0.0


def prepare_clicks(meta: Any, clicks: Clicks | None, num_conditioning: int) -> None:
    """Let Meta correct so many frames, as its fine-tuning recipe does, or none."""
    meta.is_corrected = clicks is not None
    clicks = clicks or Clicks(num_conditioning)
    for mode in ("train", "eval"):
        setattr(meta, f"num_frames_to_correct_for_{mode}", clicks.num_frames)
    meta.num_correction_pt_per_frame = clicks.num_clicks
    meta.prob_to_sample_from_gt_for_train = clicks.from_truth
    meta.add_all_frames_to_correct_as_cond = True


def draw_corrections(
    meta: Any, prepared: Mapping[str, Any], masks: Tensor, clicks: Clicks, seed: int
) -> list[Corrections]:
    """Return the corrections of the frames that Meta has chosen, with the coins it will throw.

    It throws one for all objects, where each of ours has its own.
    """
    generator = torch.Generator().manual_seed(seed)
    rows, corrections = tuple(range(len(masks))), []
    order = [*prepared["init_cond_frames"], *prepared["frames_not_in_init_cond"]]
    for frame in order:
        if frame in prepared["frames_to_add_correction_pt"]:
            coins = [
                clicks.from_truth > 0 and meta.rng.random() < clicks.from_truth
                for _ in range(clicks.num_clicks)
            ]
            places = torch.rand(len(masks), clicks.num_clicks, generator=generator)
            coin_rows = torch.tensor(coins).expand(len(masks), -1)
            corrections.append(Corrections(frame, rows, masks[:, frame].byte(), places, coin_rows))
    return corrections


@contextmanager
def recorded() -> Iterator[Drawn]:
    """Keep the clicks that ours draws."""
    drawn: Drawn = {}

    def draw(corrections: Corrections, number: int, mask_logits: Tensor) -> tuple[Tensor, Tensor]:
        drawn[corrections.frame, number] = prompts.draw_click(corrections, number, mask_logits)
        return drawn[corrections.frame, number]

    with patch("sam2_video.model.correction.draw_click", draw):
        yield drawn


@contextmanager
def told(meta: Any, drawn: Drawn) -> Iterator[None]:
    """Let Meta click where ours did, if that is where Meta's own rule allows a click."""
    from training.model import sam2

    draw_own, track = sam2.get_next_point, meta.track_step
    left: list[tuple[Tensor, Tensor]] = []

    def track_step(frame_idx: int, **rest: Any) -> dict:
        left[:] = [drawn[key] for key in sorted(drawn) if key[0] == frame_idx]
        said = track(frame_idx=frame_idx, **rest)
        assert not left, f"frame {frame_idx}: ours clicks {len(left)} times more"
        return said

    def next_point(gt_masks: Tensor, pred_masks: Tensor | None, method: str) -> Sequence[Tensor]:
        if not left:
            return draw_own(gt_masks=gt_masks, pred_masks=pred_masks, method=method)
        points, labels = left.pop(0)
        _check(gt_masks, pred_masks, points, labels)
        return points, labels.int()

    with (
        patch.object(sam2, "get_next_point", next_point),
        patch.object(meta, "track_step", track_step),
    ):
        yield


def _check(truth: Tensor, predicted: Tensor | None, points: Tensor, labels: Tensor) -> None:
    """Compare clicks with the regions that Meta's `sample_random_points_from_errors` draws from."""
    if predicted is None:
        predicted = torch.zeros_like(truth)
    for row, ((x, y),) in enumerate(points.long().tolist()):
        is_object, is_shown = bool(truth[row, 0, y, x]), bool(predicted[row, 0, y, x])
        is_perfect = torch.equal(truth[row], predicted[row])
        assert is_object != is_shown or (is_perfect and not is_object)
        assert int(labels[row]) == is_object
