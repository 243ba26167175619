"""Draw what a check looked at: a mosaic of frames with objects, and when these are seen."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from sam2_video.data.check import Inspection
from sam2_video.data.check.inspection import OpenedPath
from sam2_video.data.check.summary import speaks_of
from sam2_video.data.facts import VideoFacts
from sam2_video.data.video import UNKNOWN, Video
from sam2_video.structures import IGNORE, OBJECT
from sam2_video.visualise.labels import Label, place_labels
from sam2_video.visualise.paint import (
    fit_frame,
    fit_masks,
    hatch,
    paint_ignored,
    paint_masks,
    wash_out,
)
from sam2_video.visualise.sheet import (
    PAPER,
    Cell,
    LegendItem,
    cell_size,
    draw_sheet,
    label_size,
    text_size,
)
from sam2_video.visualise.shown import ShownFrame, read_shown_frame
from sam2_video.visualise.summary import ObjectTimes, draw_data_summary

NUM_COLUMNS = 5
MOST_IN_MOSAIC, MOST_IN_TIMELINE = 8, 20
MOST_FRAMES = 200
LONGEST_NAME = 18
FLATTEST, TALLEST = 0.4, 0.75
"""Height by width of the cells in which frames of any shape are shown."""


@dataclass(frozen=True)
class _Looked:
    """A video that was looked at."""

    video: Video
    facts: VideoFacts
    part: str
    num_findings: int


def draw_mosaic(inspection: Inspection) -> UInt8[np.ndarray, "height width 3"] | None:
    """Return frames of some videos with their objects: a row a video; None if there is none.

    Of the videos that something is to be said of, some are always there.
    """
    chosen = _choose(inspection, MOST_IN_MOSAIC)
    if not chosen:
        return None
    size = cell_size(_shape(chosen), NUM_COLUMNS)
    text = label_size(text_size(size[1], NUM_COLUMNS))
    rows = [list(_cells(one, size, text)) for one in chosen]
    blank = Cell(np.full((*size, 3), PAPER, dtype=np.uint8))
    rows = [row + [blank] * (NUM_COLUMNS - len(row)) for row in rows]
    total = sum(len(opened.videos) for opened in inspection.paths)
    return draw_sheet(
        f"{len(chosen)} of {total} videos, and what their annotations say",
        _legend(),
        [("first", "with objects"), *[("", "")] * (NUM_COLUMNS - 2), ("last", "with objects")],
        [_row_title(one) for one in chosen],
        rows,
    )


def _shape(chosen: Sequence[_Looked]) -> tuple[int, int]:
    """Return height and width, in proportion, of cells that fit the tallest of the frames."""
    tallest = max(one.facts.size[0] / one.facts.size[1] for one in chosen)
    return round(1000 * min(max(tallest, FLATTEST), TALLEST)), 1000


def draw_timeline(inspection: Inspection) -> UInt8[np.ndarray, "height width 3"] | None:
    """Return when objects of some videos are visible, and how large; None if there are none."""
    chosen = _choose(inspection, MOST_IN_TIMELINE)
    if not chosen:
        return None
    height, width = inspection.config.image_size
    total = sum(len(opened.videos) for opened in inspection.paths)
    title = f"{len(chosen)} of {total} videos: when their objects are seen, and how large"
    times = [_times(one, (height, width)) for one in chosen]
    return draw_data_summary(times, title, (height, width))


def _choose(inspection: Inspection, count: int) -> list[_Looked]:
    """Return videos with objects in their order: half of them with findings, others evenly."""
    looked = [one for opened in inspection.paths for one in _looked(opened, inspection)]
    if len(looked) <= count:
        return looked
    by_findings = sorted(range(len(looked)), key=lambda i: -looked[i].num_findings)
    places = {i for i in by_findings[: count // 2] if looked[i].num_findings}
    rest = [i for i in range(len(looked)) if i not in places]
    missing = count - len(places)
    places |= {rest[i * len(rest) // missing] for i in range(missing)}
    return [looked[i] for i in sorted(places)]


def _looked(opened: OpenedPath, inspection: Inspection) -> Iterator[_Looked]:
    for video in opened.videos:
        name = video.video_id
        facts = opened.facts[name]
        count = sum(finding.video == name for finding in inspection.findings)
        if facts.object_ids:
            yield _Looked(video, facts, opened.parts[name], count)


def _times(one: _Looked, image_size: tuple[int, int]) -> ObjectTimes:
    facts = one.facts
    spoken = np.flatnonzero(facts.shown != UNKNOWN)
    step = math.ceil(len(spoken) / MOST_FRAMES)
    frames = spoken[::step]
    scale = math.prod(image_size) / math.prod(facts.size)
    ids = facts.object_ids
    return ObjectTimes(
        one.video.video_id + (" (val)" if one.part == "val" else ""),
        one.video.num_frames,
        ids,
        frames,
        step,
        np.stack([np.sqrt(facts.areas_of(name)[frames] * scale) for name in ids]),
        np.stack([speaks_of(one.video, facts, name)[frames] for name in ids]),
    )


def _cells(one: _Looked, size: tuple[int, int], text: int) -> Iterator[Cell]:
    """Yield evenly chosen annotated frames of a video, those that can be read."""
    broken = {fault.frame for fault in one.facts.faults}
    lengths = np.array([len(ids) for ids in one.facts.sets] + [0])
    frames = [i for i in np.flatnonzero(lengths[one.facts.shown]).tolist() if i not in broken]
    if not frames:
        return
    places = np.linspace(0, len(frames) - 1, min(NUM_COLUMNS, len(frames)))
    for place in places.round().astype(int).tolist():
        try:
            shown = read_shown_frame(one.video, frames[place], size, one.facts.object_ids)
        except (OSError, ValueError) as error:
            blank = np.full((*size, 3), 255, dtype=np.uint8)
            yield Cell(blank, str(error))
            continue
        yield _cell(shown, one.facts.object_ids, size, text)


def _cell(shown: ShownFrame, object_ids: Sequence[int], size: tuple[int, int], text: int) -> Cell:
    height, width = shown.truth.shape[1:]
    scale = min(size[0] / height, size[1] / width)
    fitted = max(round(height * scale), 1), max(round(width * scale), 1)
    picture = fit_frame(shown.pixels, fitted)
    if not shown.labelled:
        picture = wash_out(picture)
    masks = fit_masks(shown.truth == OBJECT, fitted)
    picture = paint_masks(picture, masks)
    ignored = (shown.truth == IGNORE).any(dim=0, keepdim=True)
    if ignored.any():
        picture = paint_ignored(picture, fit_masks(ignored, fitted)[0])
    page = np.full((*size, 3), PAPER, dtype=np.uint8)
    top, left = (size[0] - fitted[0]) // 2, (size[1] - fitted[1]) // 2
    page[top : top + fitted[0], left : left + fitted[1]] = picture
    names = [str(object_id) for object_id in object_ids]
    labels = place_labels(masks, names, text)
    moved = tuple(Label(one.text, one.x + left, one.y + top, one.colour) for one in labels)
    name = shown.name if shown.name.startswith("frame") else f"frame {shown.name}"
    return Cell(page, name, moved)


def _row_title(one: _Looked) -> str:
    name = " ".join(one.video.video_id.split())
    if len(name) > LONGEST_NAME:
        name = f"…{name[1 - LONGEST_NAME :]}"
    count = len(one.facts.object_ids)
    return f"{name}\n{one.part}, {count} object{'s' if count > 1 else ''}"


def _legend() -> list[LegendItem]:
    ground = np.full((32, 32, 3), 150, dtype=np.uint8)
    mask = np.zeros((1, 32, 32), dtype=bool)
    mask[:, 5:27, 5:27] = True
    return [
        LegendItem(paint_masks(ground, mask), "an object and its number"),
        LegendItem(hatch(32, 32), "ignored"),
    ]
