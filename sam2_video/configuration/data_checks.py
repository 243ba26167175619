"""Checks of the settings of data: of the section `dataset`, and of each set of `dataset.more`."""

import re
from collections.abc import Iterator
from itertools import pairwise

from sam2_video.config import DatasetConfig, MoreData
from sam2_video.configuration.problems import Problem, shown

# The strides of Hiera's last stage: both sides must divide by it.
SIZE_MULTIPLE = 32
_DATA = "a folder of videos or a COCO JSON file"


def check_data_values(dataset: DatasetConfig) -> Iterator[Problem]:
    """Yield what is wrong with values that are each of the right type."""
    size = dataset.image_size
    if len(size) != 2 or any(side <= 0 or side % SIZE_MULTIPLE for side in size):
        expected = f"[height, width], both multiples of {SIZE_MULTIPLE} and > 0"
        rounded = [max(1, round(side / SIZE_MULTIPLE)) * SIZE_MULTIPLE for side in size]
        hint = f", such as {rounded}" if len(size) == 2 else ""
        yield _problem("dataset.image_size", size, expected + hint)
    for prefix, one in _sets(dataset):
        yield from _set_values(prefix, one)


def named_paths(dataset: DatasetConfig) -> Iterator[tuple[str, str | None, str]]:
    """Yield the key, the path and what is expected there, for all that names data."""
    for prefix, one in _sets(dataset):
        yield prefix + "data_path", one.data_path, _DATA
        yield prefix + "masks_path", one.masks_path, "a folder"
        yield prefix + "val_path", one.val_path, _DATA
        yield prefix + "val_masks_path", one.val_masks_path, "a folder"


def _sets(dataset: DatasetConfig) -> Iterator[tuple[str, DatasetConfig | MoreData]]:
    yield "dataset.", dataset
    for place, extra in enumerate(dataset.more):
        yield f"dataset.more[{place}].", extra


def _set_values(prefix: str, one: DatasetConfig | MoreData) -> Iterator[Problem]:
    if isinstance(one, MoreData) and one.data_path is None:
        yield _problem(prefix + "data_path", None, _DATA)
    stride = one.frame_stride
    if isinstance(stride, list) and (len(stride) != 2 or not 1 <= stride[0] <= stride[1]):
        expected = "[smallest, largest] with 1 <= smallest <= largest"
        yield _problem(prefix + "frame_stride", stride, expected)
    schedule = one.frame_stride_schedule or []
    if not _is_schedule(schedule):
        expected = (
            "[[progress, largest step], ...], progress rising from 0 to below 1, steps whole "
            "numbers >= 1, such as [[0, 1], [0.1, 5], [0.8, 2]]"
        )
        yield _problem(prefix + "frame_stride_schedule", schedule, expected)
    yield from _reading_values(prefix, one)


def _reading_values(prefix: str, one: DatasetConfig | MoreData) -> Iterator[Problem]:
    """Yield what is wrong with how files are read."""
    for colour in one.colour_palette or []:
        if len(colour) != 3 or not all(0 <= channel <= 255 for channel in colour):
            yield _problem(prefix + "colour_palette", colour, "[r, g, b], each from 0 to 255")
    if one.video_pattern is not None and not _finds_frames(one.video_pattern):
        expected = (
            "a regular expression with the group `frame`, and `video` if there are several, such "
            r"as '(?P<video>.+)_(?P<frame>\d+)'"
        )
        yield _problem(prefix + "video_pattern", one.video_pattern, expected)
    window = one.intensity_window
    if window is not None and (len(window) != 2 or not window[0] < window[1]):
        yield _problem(prefix + "intensity_window", window, "[low, high], low < high")
    if one.val_masks_path is not None and one.val_path is None:
        expected = f"null, or {prefix}val_path beside it"
        yield _problem(prefix + "val_masks_path", one.val_masks_path, expected)


def _is_schedule(schedule: list[list[float]]) -> bool:
    if not all(
        len(row) == 2 and 0 <= row[0] < 1 and row[1] >= 1 and row[1] == int(row[1])
        for row in schedule
    ):
        return False
    return all(earlier[0] < later[0] for earlier, later in pairwise(schedule))


def _finds_frames(pattern: str) -> bool:
    try:
        return "frame" in re.compile(pattern).groupindex
    except re.error:
        return False


def _problem(path: str, value: object, expected: str) -> Problem:
    return Problem(path, f"got {shown(value)}; expected {expected}")
