"""Draw frames of a video with prompt, truth, and the masks of one or more models."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8
from torch import Tensor

from sam2_video.colours import object_colour
from sam2_video.prompts import prompt_from_mask
from sam2_video.structures import IGNORE, OBJECT, PromptKind
from sam2_video.visualise.labels import Label, place_labels, place_prompt_labels
from sam2_video.visualise.paint import (
    fit_frame,
    fit_masks,
    hatch,
    paint_ignored,
    paint_masks,
    wash_out,
)
from sam2_video.visualise.prompted import paint_prompt
from sam2_video.visualise.sheet import (
    Cell,
    LegendItem,
    cell_size,
    draw_sheet,
    label_size,
    text_size,
)
from sam2_video.visualise.shown import ShownFrame

LONGEST_FULL_LEGEND = 8
NO_LABEL_COLOUR = (85, 85, 85)


@dataclass(frozen=True)
class Prediction:
    """What a model made of a video: by frame, masks of all its objects, at any size, and J.

    A frame whose J is missing, or NaN, is not scored.
    """

    masks: Mapping[int, Bool[Tensor, "objects _height _width"]]
    similarities: Mapping[int, float]


@dataclass(frozen=True)
class _Column:
    """One frame as it is shown, and what is known of it; objects are rows of `object_ids`."""

    frame: int
    picture: UInt8[np.ndarray, "height width 3"]
    truth: UInt8[Tensor, "objects mask_height mask_width"]
    labelled: tuple[int, ...]
    prompted: tuple[int, ...]
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
    frames: Sequence[ShownFrame],
    object_ids: Sequence[int],
    prompt_frame_of: Mapping[int, int],
    predictions: Mapping[str, Prediction],
    title: str,
    prompt_kind: PromptKind = PromptKind.MASK,
    num_points: int = 1,
) -> UInt8[np.ndarray, "height width 3"]:
    """Return a picture: a column a frame; rows for prompt, truth, and each model's masks.

    Args:
        frames: of one video, one to about eight.
        object_ids: of the video, at least one.
        prompt_frame_of: the frame of each object's prompt.
        predictions: by the title of their row, which may have line breaks.
        title: above all.
        prompt_kind: of the prompts, which were drawn from the truth as in evaluation.
        num_points: of point prompts.
    """
    _check(frames, object_ids, prompt_frame_of, predictions, title)
    size = cell_size((frames[0].truth.shape[1], frames[0].truth.shape[2]), len(frames))
    objects = tuple(map(str, object_ids)) if len(object_ids) > 1 else ("",)
    names = _Names(objects, label_size(text_size(size[1], len(frames))))
    rows: list[list[Cell]] = [[] for _ in range(2 + len(predictions))]
    is_any_ignored = False
    for frame in frames:
        column = _column(frame, object_ids, prompt_frame_of, size)
        is_any_ignored |= bool((column.truth == IGNORE).any())
        rows[0].append(_prompt_cell(column, names, prompt_kind, num_points))
        rows[1].append(_truth_cell(column, names))
        for row, prediction in zip(rows[2:], predictions.values(), strict=True):
            row.append(_prediction_cell(prediction, column, names))
    return draw_sheet(
        title,
        _legend(object_ids, prompt_frame_of, is_any_ignored=is_any_ignored),
        [(f"frame {frame.index}", frame.name) for frame in frames],
        ["frame\nand prompt", "truth", *predictions],
        rows,
    )


def _check(
    frames: Sequence[ShownFrame],
    object_ids: Sequence[int],
    prompt_frame_of: Mapping[int, int],
    predictions: Mapping[str, Prediction],
    title: str,
) -> None:
    """Refuse what does not fit the video."""
    where = f"picture {title!r}"
    if not frames or not object_ids:
        raise ValueError(
            f"{where}: got {len(frames)} frames and {len(object_ids)} objects; "
            "expected at least one of each"
        )
    if unknown := prompt_frame_of.keys() - set(object_ids):
        raise ValueError(
            f"{where}: prompts of objects {sorted(unknown)}; its objects are {list(object_ids)}"
        )
    for name, prediction in predictions.items():
        for frame in frames:
            masks = prediction.masks.get(frame.index)
            got = "none" if masks is None else len(masks)
            if got != len(object_ids):
                raise ValueError(
                    f"{where}, frame {frame.index}: masks of {name!r}: got {got}, expected "
                    f"{len(object_ids)}, one an object; keep the masks of every frame drawn"
                )


def _column(
    frame: ShownFrame,
    object_ids: Sequence[int],
    prompt_frame_of: Mapping[int, int],
    size: tuple[int, int],
) -> _Column:
    starts = {row: prompt_frame_of[n] for row, n in enumerate(object_ids) if n in prompt_frame_of}
    prompted = [row for row, start in starts.items() if start == frame.index]
    if unlabelled := set(prompted) - set(frame.labelled):
        raise ValueError(
            f"picture of frame {frame.name}: prompts of objects "
            f"{[object_ids[row] for row in sorted(unlabelled)]} on a frame without their "
            "annotation; expected prompts drawn from the truth"
        )
    return _Column(
        frame.index,
        fit_frame(frame.pixels, size),
        frame.truth,
        frame.labelled,
        tuple(prompted),
        sum(start < frame.index for start in starts.values()),
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
    picture = paint_prompt(
        column.picture, prompt, rows, (column.truth.shape[1], column.truth.shape[2])
    )
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


def _prediction_cell(prediction: Prediction, column: _Column, names: _Names) -> Cell:
    fitted = fit_masks(prediction.masks[column.frame].cpu(), column.size)
    picture = paint_masks(column.picture, fitted)
    similarity = prediction.similarities.get(column.frame, math.nan)
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
