"""What one look at a video finds out: its objects and their sizes, and what cannot be read.

Every mask is decoded. A JPEG or PNG frame is told by its header and its end, which show whether it
is whole and of the right size; others, those that look wrong, and some of each video are decoded.
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt8
from torch import Tensor

from sam2_video.data.frames import read_rgb
from sam2_video.data.source import ImageFiles
from sam2_video.data.video import UNKNOWN, Video
from sam2_video.image_file import open_image

THUMBNAIL = 12
"""Side of the small grey pictures by which frames are compared."""
NUM_THUMBNAILS = 6
_TAIL = 64
_ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
FaultKind = Literal["frame", "mask"]
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)


@dataclass(frozen=True)
class Fault:
    """A frame, or its masks, that cannot be used, and why, in a line."""

    kind: FaultKind
    frame: int
    message: str


@dataclass(frozen=True)
class VideoFacts:
    """What is known of a video.

    `shown` says of each frame which of `sets` of objects it shows, or `UNKNOWN`; `areas` are the
    pixels of the objects of one frame after another. `thumbnails` are of the frames `pictured`.
    Each row of `repeats` is a frame, and an earlier one that is the same file byte for byte.
    """

    size: tuple[int, int]
    shown: Int32[np.ndarray, " frames"]
    sets: tuple[tuple[int, ...], ...]
    areas: Int64[np.ndarray, " areas"]
    pictured: Int32[np.ndarray, " pictures"]
    thumbnails: UInt8[np.ndarray, "pictures _side _side"]
    repeats: Int32[np.ndarray, "repeats 2"]
    faults: tuple[Fault, ...]

    def areas_of(self, object_id: int) -> Int64[np.ndarray, " frames"]:
        """Return the pixels of an object by frame: 0 where it is absent or not spoken of."""
        found = np.zeros(len(self.shown), dtype=np.int64)
        starts = self.starts()
        for code, ids in enumerate(self.sets):
            if object_id in ids:
                frames = np.flatnonzero(self.shown == code)
                found[frames] = self.areas[starts[frames] + ids.index(object_id)]
        return found

    def starts(self) -> Int64[np.ndarray, " frames"]:
        """Return where the areas of each frame begin."""
        lengths = np.array([len(ids) for ids in self.sets] + [0], dtype=np.int64)
        counts = lengths[self.shown]  # UNKNOWN is the last
        return np.cumsum(counts) - counts

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Return all objects that are visible somewhere, in order."""
        return tuple(sorted({object_id for ids in self.sets for object_id in ids}))


def look_at_video(video: Video, *, full: bool = False) -> VideoFacts:
    """Read all masks of a video, and its frames so far as is needed.

    Args:
        video: The video.
        full: Decode every frame.
    """
    try:
        size = video.size
    except (OSError, ValueError) as error:
        first = Fault("frame", 0, str(error))
        rest = (fault for fault in _look_at_frames(video, None, full=full) if fault.frame)
        return _without_masks(video.num_frames, [first, *rest])
    faults = list(_look_at_frames(video, size, full=full))
    broken = {fault.frame for fault in faults}
    shown = np.full(video.num_frames, UNKNOWN, dtype=np.int32)
    sets: dict[tuple[int, ...], int] = {}
    areas: list[int] = []
    for index in video.labelled_frames:
        try:
            found = video.visible_areas(index)
        except (OSError, ValueError) as error:
            faults.append(Fault("mask", index, str(error)))
            continue
        shown[index] = sets.setdefault(tuple(found), len(sets))
        areas += found.values()
    pictured, thumbnails = _take_thumbnails(video, broken, faults)
    is_images = isinstance(video.frames, ImageFiles)
    repeats = _find_repeats(list(video.frames.files())) if is_images else []
    return VideoFacts(
        size=size,
        shown=shown,
        sets=tuple(sets),
        areas=np.array(areas, dtype=np.int64),
        pictured=pictured,
        thumbnails=thumbnails,
        repeats=np.array(repeats, dtype=np.int32).reshape(-1, 2),
        faults=tuple(sorted(faults, key=lambda fault: (fault.kind, fault.frame))),
    )


def _without_masks(num_frames: int, faults: Sequence[Fault]) -> VideoFacts:
    """Return what is known of a video whose size is not: masks cannot be read without it."""
    return VideoFacts(
        size=(0, 0),
        shown=np.full(num_frames, UNKNOWN, dtype=np.int32),
        sets=(),
        areas=np.zeros(0, dtype=np.int64),
        pictured=np.zeros(0, dtype=np.int32),
        thumbnails=np.zeros((0, THUMBNAIL, THUMBNAIL), dtype=np.uint8),
        repeats=np.zeros((0, 2), dtype=np.int32),
        faults=tuple(faults),
    )


def _look_at_frames(video: Video, size: tuple[int, int] | None, *, full: bool) -> Iterator[Fault]:
    """Yield the frames that cannot be read, or are not of the size, where that is known."""
    frames = video.frames
    is_images = isinstance(frames, ImageFiles)
    for index in range(video.num_frames) if is_images or (full and size) else ():
        try:
            if is_images and (size is None or not full):
                _look_at_image(frames.paths[index], size)
            else:
                video.read_frame(index)
        except (OSError, ValueError) as error:
            yield Fault("frame", index, str(error))


def _look_at_image(path: Path, size: tuple[int, int] | None) -> None:
    """Decode an image unless its header and its end show that it is whole."""
    with path.open("rb") as file:
        try:
            with open_image(path, file) as image:
                found, end = (image.height, image.width), _ENDS.get(image.format or "")
                if end is not None and size in (None, found):
                    file.seek(-min(_TAIL, os.fstat(file.fileno()).st_size), os.SEEK_END)
                    if end in file.read():
                        return
        except OSError:  # no image that Pillow knows: reading it says what is wrong
            pass
    read_rgb(path, size)


def _take_thumbnails(
    video: Video, broken: set[int], faults: list[Fault]
) -> tuple[Int32[np.ndarray, " pictures"], UInt8[np.ndarray, "pictures _side _side"]]:
    """Decode some frames, evenly spread, and keep small pictures of them."""
    places = np.linspace(0, video.num_frames - 1, min(NUM_THUMBNAILS, video.num_frames))
    pictured: list[int] = []
    pictures: list[UInt8[np.ndarray, "side side"]] = []
    for index in places.round().astype(int).tolist():
        if index in broken:
            continue
        try:
            frame = video.read_frame(index, max_size=(4 * THUMBNAIL, 4 * THUMBNAIL))
        except (OSError, ValueError) as error:
            faults.append(Fault("frame", index, str(error)))
            continue
        pictured.append(index)
        pictures.append(_shrink(frame))
    empty = np.zeros((0, THUMBNAIL, THUMBNAIL), dtype=np.uint8)
    return np.array(pictured, dtype=np.int32), np.stack(pictures) if pictures else empty


def _shrink(frame: UInt8[Tensor, "3 _height _width"]) -> UInt8[np.ndarray, "side side"]:
    # green is close to what is seen as bright, and no other channel need be read
    side = (THUMBNAIL, THUMBNAIL)
    return cv2.resize(frame[1].numpy(), side, interpolation=cv2.INTER_AREA).astype(np.uint8)


def _find_repeats(files: Sequence[str]) -> list[tuple[int, int]]:
    """Return the frames that are the same file as an earlier one; only equal sizes are read."""
    by_size: dict[int, list[int]] = defaultdict(list)
    for index, path in enumerate(files):
        try:
            by_size[os.stat(path).st_size].append(index)  # noqa: PTH116 (100,000 times)
        except OSError:  # gone since, which reading it has told
            continue
    repeats = []
    for indices in by_size.values():
        first: dict[bytes, int] = {}
        for index in indices if len(indices) > 1 else ():
            digest = blake2b(Path(files[index]).read_bytes(), digest_size=16).digest()
            if (earlier := first.setdefault(digest, index)) != index:
                repeats.append((index, earlier))
    return sorted(repeats)


def is_labelled(video: Video) -> Bool[np.ndarray, " frames"]:
    """Return of each frame whether it is annotated."""
    found = np.zeros(video.num_frames, dtype=bool)
    found[np.asarray(video.labelled_frames, dtype=np.int64)] = True
    return found
