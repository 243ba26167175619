"""A stack of slices in one file, NPZ, NIfTI or TIFF, as the frames and the masks of a video."""

import os
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from jaxtyping import Num, UInt8
from loguru import logger
from torch import Tensor

from sam2_video.data.source import FrameSource, number_frames
from sam2_video.data.video import Video
from sam2_video.limits import MOST_FRAMES, check_pixels
from sam2_video.masks import mask_areas, separate_objects
from sam2_video.structures import IGNORE

PERCENTILES = (0.5, 99.5)
"""Of a stack's values: they become black and white where no window is given."""
NUM_MEASURED = 32
"""Slices, evenly spread, whose values are measured for that."""
KEPT_BYTES = 512 * 2**20
"""Of unpacked stacks that a process keeps."""
MOST_BYTES = 4 * 2**30
"""Of a stack that has to be unpacked as a whole."""
Window = tuple[float, float]


class Stack(ABC):
    """Slices of one size in a file, each read when it is asked for; may be sent to a process."""

    def __init__(self, path: Path, shape: Sequence[int], dtype: np.dtype) -> None:
        """Take what the head of the file says.

        Raises:
            ValueError: it is no stack of slices of numbers.
        """
        self.path = path
        self.has_colours = len(shape) == 4 and shape[-1] == 3
        if (len(shape) != 3 and not self.has_colours) or 0 in shape:
            raise ValueError(
                f"{path}: an array of the shape {list(shape)}; expected [frames, height, width], "
                "or [frames, height, width, 3] for colours: save each video, or each channel, by "
                "itself"
            )
        check_pixels(int(shape[1]), int(shape[2]), str(path))
        if shape[0] > MOST_FRAMES:
            raise ValueError(f"{path}: {shape[0]} slices, expected up to {MOST_FRAMES:,}; split it")
        if dtype.kind not in "biuf":
            raise ValueError(f"{path}: values of the type {dtype}; expected numbers: convert them")
        self.dtype = dtype
        self.num_slices = int(shape[0])
        self.size = int(shape[1]), int(shape[2])

    @abstractmethod
    def read(self, index: int) -> Num[np.ndarray, "height width *colours"]:
        """Read a slice, with the values that the file means."""


class StackFrames(FrameSource):
    """The slices of a stack as 8-bit frames.

    8-bit stacks are taken as they are, where no window is given. Of others the window's ends, or
    else the 0.5th and the 99.5th percentile of the stack, become 0 and 255; what lies outside is
    cut off.
    """

    def __init__(self, stack: Stack, window: Window | None = None) -> None:
        self.stack = stack
        self._given = window

    def __len__(self) -> int:
        return self.stack.num_slices

    def files(self) -> Iterable[str]:
        """Return the file of the stack."""
        return (str(self.stack.path),)

    def settings(self) -> Sequence[object]:
        """Return the window that was given."""
        return () if self._given is None else tuple(self._given)

    @property
    def size(self) -> tuple[int, int]:
        """Return height and width of the slices."""
        return self.stack.size

    @cached_property
    def window(self) -> Window | None:
        """The values that become black and white; None where they are 8-bit already."""
        if self._given is not None or self.stack.dtype == np.uint8:
            return self._given
        count = self.stack.num_slices
        places = np.linspace(0, count - 1, min(NUM_MEASURED, count)).round().astype(int)
        values = np.concatenate([self.stack.read(int(i)).ravel() for i in np.unique(places)])
        values = values[np.isfinite(values)]
        if not len(values):
            raise ValueError(f"{self.stack.path}: no finite values; export the stack again")
        low, high = np.percentile(values.astype(np.float64), PERCENTILES).tolist()
        logger.debug(f"{self.stack.path}: values {low:g} to {high:g} become 0 to 255")
        return low, high

    def read(
        self, index: int, max_size: tuple[int, int] | None = None
    ) -> UInt8[Tensor, "3 height width"]:
        """Read a slice at its full size, grey as three equal channels."""
        values = self.stack.read(index)
        pixels = values if self.window is None else to_8_bits(values, self.window)
        if self.stack.has_colours:
            return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
        return torch.from_numpy(np.repeat(pixels[None], 3, axis=0))


def to_8_bits(
    values: Num[np.ndarray, "height width *colours"], window: Window
) -> UInt8[np.ndarray, "height width *colours"]:
    """Map a window of values to 0 to 255; values outside are cut off, and what is no number is 0.

    >>> to_8_bits(np.array([[-5000, 0, 100, 200, 5000]], dtype=np.int16), (0, 200)).tolist()
    [[0, 0, 128, 255, 255]]
    """
    low, high = window
    shares = (values.astype(np.float64) - low) / max(high - low, np.finfo(np.float64).tiny)
    return np.round(255 * np.clip(np.nan_to_num(shares), 0, 1)).astype(np.uint8)


class StackVideo(Video):
    """A stack of frames and a stack of labels: every slice is labelled, also where it is empty."""

    def __init__(self, video_id: str, frames: StackFrames, labels: Stack) -> None:
        """Take both, which must be of one shape.

        Raises:
            ValueError: they are not, or labels are in colours.
        """
        stack = frames.stack
        shapes = [(one.num_slices, *one.size) for one in (stack, labels)]
        if shapes[0] != shapes[1] or labels.has_colours:
            colours = ", in colours," if labels.has_colours else ""
            raise ValueError(
                f"{labels.path}: labels of {list(shapes[1])} (slices, height, width){colours} for "
                f"{stack.path.name} of {list(shapes[0])}; export them on the grid of the images"
            )
        super().__init__(video_id, frames, number_frames(len(frames)))
        self._labels = labels

    def is_labelled(self, index: int, object_id: int | None = None) -> bool:
        """Say that the slice is labelled: an object without a pixel on it is absent."""
        return True

    def annotation_sources(self) -> Iterable[str]:
        """Return the file of the labels."""
        return (str(self._labels.path),)

    def _read_visible(self, index: int) -> tuple[int, ...]:
        return tuple(self._read_areas(index))

    def _read_areas(self, index: int) -> dict[int, int]:
        return mask_areas(self._read_labels(index))

    def _read_masks(
        self, index: int, object_ids: Sequence[int]
    ) -> UInt8[Tensor, "objects height width"]:
        return separate_objects(self._read_labels(index), object_ids)

    def _read_labels(self, index: int) -> UInt8[Tensor, "height width"]:
        values = self._labels.read(index)
        labels = values if values.dtype.kind == "b" else np.clip(np.nan_to_num(values), 0, IGNORE)
        labels = labels.astype(np.uint8)
        if (labels != values).any():
            wrong = values[labels != values][0]
            raise ValueError(
                f"{self._labels.path}, slice {index}: the label {wrong} is no whole number of 0 to "
                f"{IGNORE} ({IGNORE} = ignore); number the objects from 1 on"
            )
        return torch.from_numpy(labels)


class _Arrays:
    """Unpacked stacks that were asked for last; may be asked from several threads."""

    def __init__(self) -> None:
        self._arrays: OrderedDict[object, np.ndarray] = OrderedDict()
        self._lock = Lock()

    def get(self, key: object, load: Callable[[], np.ndarray]) -> np.ndarray:
        with self._lock:
            if key not in self._arrays:
                self._arrays[key] = load()
            self._arrays.move_to_end(key)
            while len(self._arrays) > 1 and self._num_bytes() > KEPT_BYTES:
                self._arrays.popitem(last=False)
            return self._arrays[key]

    def _num_bytes(self) -> int:
        # what is mapped from a file is the system's to drop
        return sum(a.nbytes for a in self._arrays.values() if not is_mapped(a))


def is_mapped(array: np.ndarray) -> bool:
    """Say whether an array is, or is a view of, a file mapped into memory."""
    base = array
    while base is not None and not isinstance(base, np.memmap):
        base = base.base if isinstance(base, np.ndarray) else None
    return base is not None


# A lock may be held by a thread that a fork left behind.
_of_process: dict[int, _Arrays] = {}


def keep(key: object, load: Callable[[], np.ndarray]) -> np.ndarray:
    """Return an array that was loaded before in this process, or load it."""
    return _of_process.setdefault(os.getpid(), _Arrays()).get(key, load)


def check_bytes(path: Path, num_bytes: int, way_out: str) -> None:
    """Refuse to unpack more than memory is likely to hold."""
    if num_bytes > MOST_BYTES:
        raise ValueError(
            f"{path}: unpacks to {num_bytes / 2**30:.1f} GiB, and can only be unpacked as a whole; "
            f"{way_out}, which is read slice by slice"
        )
