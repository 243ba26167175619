"""Read the masks of one frame on both sides and score its objects: a task for any process."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, UInt8

from sam2_video.data.mask_folder import Key
from sam2_video.image_file import open_image
from sam2_video.masks import mask_object_ids, read_mask_image
from sam2_video.metrics.frame import FrameScore, score_frame
from sam2_video.structures import BACKGROUND, IGNORE

LABEL_MAP = ""
"""In place of an object: the file holds the labels of all objects. No folder has this name."""
NONE = -1
"""In place of an object or a prediction: an empty mask. No label has this value."""

_GREY_OR_PALETTE = ("1", "L", "P")


@dataclass(frozen=True)
class FrameTask:
    """The mask files of one frame: one label map, or one file for each object.

    A prediction without files is empty. With `compares_all` every predicted label is compared
    with every object, and pixels that are 255 in the truth do not count.
    """

    truth: Mapping[Key, Path]
    prediction: Mapping[Key, Path]
    compares_all: bool = False


@dataclass(frozen=True)
class FrameResult:
    """Scores by (prediction, object), and the predicted objects.

    Of a label map only the objects that truth or prediction shows are listed; with
    `compares_all` NONE stands for any other on either side.
    """

    scores: Mapping[tuple[Key, Key], FrameScore]
    predicted: frozenset[Key]


def try_frame(task: FrameTask) -> FrameResult | str:
    """Score a frame, or say in a line why it cannot be scored."""
    try:
        return score_files(task)
    except (OSError, ValueError) as error:
        return str(error)


def score_files(task: FrameTask) -> FrameResult:
    """Read and compare the masks of one frame.

    Raises:
        ValueError: A file is damaged, no mask, or of another size than the truth.
    """
    size = _read_header(next(iter(task.truth.values())))
    truth, void = _read_masks(task.truth, size)
    prediction, _ = _read_masks(task.prediction, size)
    if task.compares_all:
        prediction = {key: mask & ~void for key, mask in prediction.items()}
        pairs = [(p, o) for p in (*prediction, NONE) for o in (*truth, NONE)]
    else:
        is_complete = LABEL_MAP in task.truth
        pairs = [(key, key) for key in (truth | prediction if is_complete else truth)]
    empty = np.zeros(size, dtype=bool)
    scores = {(p, o): score_frame(prediction.get(p, empty), truth.get(o, empty)) for p, o in pairs}
    return FrameResult(scores, frozenset(key for key, mask in prediction.items() if mask.any()))


def read_visible(files: Mapping[Key, Path]) -> set[Key]:
    """Return the objects that one frame's masks show."""
    size = _read_header(next(iter(files.values())))
    masks, _ = _read_masks(files, size)
    return {key for key, mask in masks.items() if mask.any()}


def _read_masks(
    files: Mapping[Key, Path], size: tuple[int, int]
) -> tuple[dict[Key, Bool[np.ndarray, "height width"]], Bool[np.ndarray, "height width"]]:
    """Return the mask of each object, and the void pixels of a label map."""
    if LABEL_MAP in files:
        labels = _read_labels(files[LABEL_MAP], size)
        ids = mask_object_ids(torch.from_numpy(labels))
        return {key: labels == key for key in ids}, labels == IGNORE
    masks: dict[Key, np.ndarray] = {}
    for key, path in files.items():
        values = _read_labels(path, size)
        # any value may stand for the object, 1 and 255 are both in use; two values are a mistake
        masks[key] = values != BACKGROUND
        if (masks[key] & (values != values.max())).any():
            raise ValueError(
                f"{path}: several objects in a file of a folder for one object; expected 0 and "
                "one other value: write VIDEO/OBJECT/*.png or label maps VIDEO/*.png"
            )
    return masks, np.zeros(size, dtype=bool)


def _read_labels(path: Path, size: tuple[int, int]) -> UInt8[np.ndarray, "height width"]:
    found = _read_header(path)
    if found != size:
        raise ValueError(
            f"{path}: the mask is {found[0]}x{found[1]} (height x width), the truth "
            f"{size[0]}x{size[1]}; write predictions at the truth's original size"
        )
    return read_mask_image(path, size).numpy()


def _read_header(path: Path) -> tuple[int, int]:
    """Return height and width of a mask of one channel."""
    try:
        with open_image(path) as image:
            mode, size = image.mode, (image.height, image.width)
    except OSError as error:
        raise ValueError(
            f"{path}: the mask cannot be read ({error}); write or copy the file again"
        ) from error
    if mode not in _GREY_OR_PALETTE:
        raise ValueError(
            f"{path}: the mask has Pillow mode {mode} (colours, or more than 8 bits), expected one "
            "8-bit value a pixel; save it as palette or grey PNG, value = object"
        )
    return size
