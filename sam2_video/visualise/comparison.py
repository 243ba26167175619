"""Draw frames of a video with prompt, truth, and masks before and after training."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from sam2_video.data.video import Video
from sam2_video.metrics import region_similarity
from sam2_video.prompts import prompt_from_mask
from sam2_video.structures import IGNORE, OBJECT, PromptKind
from sam2_video.visualise.labels import Label, place_labels, place_prompt_labels
from sam2_video.visualise.paint import (
    fit_frame,
    fit_masks,
    hatch,
    object_colour,
    paint_box,
    paint_ignored,
    paint_masks,
    paint_points,
    wash_out,
)
from sam2_video.visualise.sheet import (
    Cell,
    LegendItem,
    cell_size,
    label_size,
    text_size,
    write_sheet,
)

ROW_TITLES = {"before": "before\ntraining", "after": "after\ntraining"}
LONGEST_FULL_LEGEND = 8
NO_LABEL_COLOUR = (85, 85, 85)

PredictedMasks = Mapping[int, Bool[Tensor, "objects height width"]]


@dataclass(frozen=True)
class _Column:
    """One frame as it is shown, and what is known of it; objects are rows of `object_ids`."""

    frame: int
    picture: UInt8[np.ndarray, "height width 3"]
    truth: UInt8[Tensor, "objects mask_height mask_width"]
    labelled: tuple[int, ...]
    prompted: tuple[int, ...]
    scored: tuple[int, ...]
    num_earlier_prompts: int

    @property
    def size(self) -> tuple[int, int]:
        return self.picture.shape[0], self.picture.shape[1]


@dataclass(frozen=True)
class _Names:
    """What objects are called on pictures, the only one of a video nothing; the size of labels."""

    objects: tuple[str, ...]
    text_size: int


def draw_comparison(
    path: Path,
    video: Video,
    prompt_frame_of: Mapping[int, int],
    frames: Sequence[int],
    before: PredictedMasks | None,
    after: PredictedMasks | None,
    similarities: Mapping[str, Mapping[int, float]] | None,
    title: str,
    prompt_kind: PromptKind = PromptKind.MASK,
    num_points: int = 1,
) -> None:
    """Write one PNG: a column a frame; rows for prompt, truth, and masks before and after.

    Args:
        path: of the PNG.
        video: with at least one visible object.
        prompt_frame_of: the frame of each object's prompt.
        frames: to show, one to about eight.
        before: by frame, a mask for each of the video's `object_ids`, at the video's size.
        after: likewise; None leaves the row out.
        similarities: by "before" and "after", then by frame, the J to show; None = computed here,
            the mean over labelled objects prompted on an earlier frame.
        title: above all.
        prompt_kind: of the prompts, which were drawn from the truth as in evaluation.
        num_points: of point prompts.
    """
    predictions = {"before": before, "after": after}
    predictions = {name: masks for name, masks in predictions.items() if masks is not None}
    _check(video, prompt_frame_of, frames, predictions, similarities)
    size = cell_size(video.size, len(frames))
    objects = tuple(map(str, video.object_ids)) if len(video.object_ids) > 1 else ("",)
    names = _Names(objects, label_size(text_size(size[1], len(frames))))
    rows: list[list[Cell]] = [[] for _ in range(2 + len(predictions))]
    is_any_ignored = False
    for frame in frames:
        column = _read_column(video, frame, prompt_frame_of, size)
        is_any_ignored |= bool((column.truth == IGNORE).any())
        rows[0].append(_prompt_cell(column, names, prompt_kind, num_points))
        rows[1].append(_truth_cell(column, names))
        for row, (when, masks) in zip(rows[2:], predictions.items(), strict=True):
            if similarities is None:
                similarity = _similarity(masks[frame].cpu(), column)
            else:
                similarity = similarities.get(when, {}).get(frame, math.nan)
            row.append(_prediction_cell(masks[frame].cpu(), column, names, similarity))
    write_sheet(
        path,
        title,
        _legend(video.object_ids, prompt_frame_of, is_any_ignored=is_any_ignored),
        [(f"frame {frame}", video.frame_names[frame]) for frame in frames],
        ["frame\nand prompt", "truth", *(ROW_TITLES[name] for name in predictions)],
        rows,
    )


def _check(
    video: Video,
    prompt_frame_of: Mapping[int, int],
    frames: Sequence[int],
    predictions: Mapping[str, PredictedMasks],
    similarities: Mapping[str, Mapping[int, float]] | None,
) -> None:
    """Refuse what does not fit the video."""
    where = f"picture of video {video.video_id}"
    if not frames or not video.object_ids:
        raise ValueError(
            f"{where}: got {len(frames)} frames and {len(video.object_ids)} objects; "
            "expected at least one of each"
        )
    if unknown := prompt_frame_of.keys() - set(video.object_ids):
        raise ValueError(
            f"{where}: prompts of objects {sorted(unknown)}; its objects are "
            f"{list(video.object_ids)}"
        )
    if similarities is not None and (strange := similarities.keys() - ROW_TITLES.keys()):
        raise ValueError(f"{where}: similarities of {sorted(strange)}; expected {list(ROW_TITLES)}")
    expected = (len(video.object_ids), *video.size)
    for name, masks in predictions.items():
        for frame in frames:
            got = tuple(masks[frame].shape) if frame in masks else "none"
            if got != expected:
                raise ValueError(
                    f"{where}, frame {frame}: masks {name} training: got {got}, expected "
                    f"{expected} (objects, height, width); keep the masks of every frame drawn"
                )


def _read_column(
    video: Video, frame: int, prompt_frame_of: Mapping[int, int], size: tuple[int, int]
) -> _Column:
    ids = video.object_ids
    truth = torch.zeros(len(ids), *video.size, dtype=torch.uint8)
    labelled = [row for row, name in enumerate(ids) if video.is_labelled(frame, name)]
    if labelled:
        truth[labelled] = video.read_masks(frame, [ids[row] for row in labelled])
    prompt_frames = {row: prompt_frame_of[n] for row, n in enumerate(ids) if n in prompt_frame_of}
    prompted = [row for row, start in prompt_frames.items() if start == frame]
    if unlabelled := set(prompted) - set(labelled):
        raise ValueError(
            f"video {video.video_id}, frame {video.frame_names[frame]}: prompts of objects "
            f"{[ids[row] for row in sorted(unlabelled)]} on a frame without their annotation; "
            "expected prompts drawn from the truth"
        )
    earlier = {row for row, start in prompt_frames.items() if start < frame}
    return _Column(
        frame,
        fit_frame(video.read_frame(frame, max_size=size), size),
        truth,
        tuple(labelled),
        tuple(prompted),
        tuple(row for row in labelled if row in earlier),
        len(earlier),
    )


def _prompt_cell(column: _Column, names: _Names, prompt_kind: PromptKind, num_points: int) -> Cell:
    if not column.prompted:
        return Cell(column.picture)
    rows = list(column.prompted)
    shown = np.zeros((len(column.truth), *column.size), dtype=bool)
    shown[rows] = fit_masks(column.truth[rows] == OBJECT, column.size)
    count = len(rows)
    caption = f"{count} {prompt_kind} prompt{'s' if count > 1 else ''}"
    prompt = prompt_from_mask(
        column.truth[rows], prompt_kind, num_points, frame=column.frame, objects=column.prompted
    )
    if prompt.points is None or prompt.labels is None:
        picture = paint_masks(column.picture, shown, is_filled=False)
        return Cell(picture, caption, place_prompt_labels(shown, names.objects, names.text_size))
    height, width = column.size
    # a pixel's centre has whole coordinates at either size
    scale = np.array([width / column.truth.shape[2], height / column.truth.shape[1]])
    picture = column.picture
    for row, points, labels in zip(rows, prompt.points, prompt.labels, strict=True):
        places = (points[labels >= 0].numpy() + 0.5) * scale - 0.5
        paint = paint_box if prompt_kind is PromptKind.BOX else paint_points
        picture = paint(picture, places, row)
    return Cell(picture, caption, place_prompt_labels(shown, names.objects, names.text_size))


def _truth_cell(column: _Column, names: _Names) -> Cell:
    if not column.labelled:
        height, width = column.size
        label = Label("no label", width // 2, height // 2, NO_LABEL_COLOUR)
        return Cell(wash_out(column.picture), "", (label,))
    masks = fit_masks(column.truth == OBJECT, column.size)
    picture = paint_masks(column.picture, masks)
    ignored = (column.truth == IGNORE).any(dim=0, keepdim=True)
    if ignored.any():
        picture = paint_ignored(picture, fit_masks(ignored, column.size)[0])
    num_visible = int(masks.any(axis=(1, 2)).sum())
    caption = f"{num_visible} of {len(masks)} visible"
    if num_unlabelled := len(masks) - len(column.labelled):
        caption += f", {num_unlabelled} without label"
    return Cell(picture, caption, place_labels(masks, names.objects, names.text_size))


def _prediction_cell(
    masks: Bool[Tensor, "objects height width"],
    column: _Column,
    names: _Names,
    similarity: float,
) -> Cell:
    fitted = fit_masks(masks, column.size)
    picture = paint_masks(column.picture, fitted)
    return Cell(
        picture,
        _score_text(column, similarity),
        place_labels(fitted, names.objects, names.text_size),
    )


def _score_text(column: _Column, similarity: float) -> str:
    """Return J, or the reason why there is none."""
    if not math.isnan(similarity):
        return f"J {similarity:.2f}"
    if column.prompted:
        return "prompt given"
    if not column.num_earlier_prompts:
        return "before the prompt"
    return "no label" if not column.labelled else "not scored"


def _similarity(masks: Bool[Tensor, "objects height width"], column: _Column) -> float:
    """Return the mean J over the scored objects; NaN where there is none."""
    rows = list(column.scored)
    if not rows:
        return math.nan
    return float(region_similarity(masks[rows], column.truth[rows]).nanmean())


def _legend(
    object_ids: Sequence[int], prompt_frame_of: Mapping[int, int], *, is_any_ignored: bool
) -> list[LegendItem]:
    """Return an item for each object and, if any is shown, for ignored pixels."""
    items = []
    for row, name in enumerate(object_ids):
        swatch = np.full((16, 16, 3), object_colour(row), dtype=np.uint8)
        text = f"{name}"
        if len(object_ids) <= LONGEST_FULL_LEGEND:
            start = prompt_frame_of.get(name)
            text = f"object {name} ({'no prompt' if start is None else f'prompt: frame {start}'})"
        items.append(LegendItem(swatch, text))
    if is_any_ignored:
        items.append(LegendItem(hatch(16, 16), "ignored (not scored)"))
    return items
