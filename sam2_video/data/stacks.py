"""Open stacks as videos: NPZ files, or NIfTI or TIFF images with the labels that belong to them."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from loguru import logger

from sam2_video.data.frames import has_images, visible_entries, warn_unread
from sam2_video.data.stack import Stack, StackFrames, StackVideo, Window
from sam2_video.data.stack_files import (
    NIFTI_ENDINGS,
    TIFF_ENDINGS,
    NiftiStack,
    TiffStack,
    has_pages,
)
from sam2_video.data.stack_npz import open_npz_arrays
from sam2_video.data.video import Problems, Video

StackKind = Literal["npz", "nifti", "tiff"]
ENDINGS: dict[StackKind, tuple[str, ...]] = {
    "npz": (".npz",),
    "nifti": NIFTI_ENDINGS,
    "tiff": TIFF_ENDINGS,
}
IMAGES = ("imagesTr", "images", "imgs")
LABELS = ("labelsTr", "labels", "masks", "gts")
"""Folders of images, and of their labels, in or beside them."""
_IMAGE_END = re.compile(r"[_-](image|img|volume|ct|mri|0000)$", re.IGNORECASE)
_LABEL_END = re.compile(r"[_-](masks?|labels?|seg|segmentation|gt)$", re.IGNORECASE)
_OTHER_CHANNEL = re.compile(r"_(?!0000)\d{4}$")
"""nnU-Net's names of all channels of a case but the first."""


@dataclass(frozen=True)
class _Place:
    """Where the images and the labels of a data set are; one folder may hold both."""

    images: Path
    labels: Path


def find_stacks(path: Path, parts: Collection[str] = ()) -> StackKind | None:
    """Say which kind of stacks a folder holds: in it, in its folder of images, or a folder a case.

    Args:
        path: The folder.
        parts: Names of folders that are no cases.
    """
    if has_images(path) and not any(map(has_pages, _files(path, "tiff")[:1])):
        return None
    if _files(path, "npz"):
        return "npz"
    folders = [entry for entry in visible_entries(path) if entry.is_dir()]
    named = [folder for folder in folders if folder.name in IMAGES]
    cases = [folder for folder in folders if folder.name not in parts]
    for folder in (path, *named, *cases[:1]):
        if _files(folder, "nifti"):
            return "nifti"
        if any(map(has_pages, _files(folder, "tiff")[:1])):
            return "tiff"
    return None


def kind_of_stack(path: Path) -> StackKind | None:
    """Say which kind of stack a file is by its name, and of a TIFF by its number of pages."""
    for kind, endings in ENDINGS.items():
        if path.name.lower().endswith(endings):
            return None if kind == "tiff" and not has_pages(path) else kind
    return None


def open_stacks(
    kind: StackKind,
    data_path: Path,
    masks_path: Path | None = None,
    problems: Problems | None = None,
    window: Window | None = None,
) -> list[Video]:
    """Open each stack as a video, named like its file, in natural order.

    Args:
        kind: Of the files.
        data_path: A folder of stacks, or one stack.
        masks_path: The folder of the labels, or one; without, they are looked for.
        problems: Takes the stacks that cannot be opened; without, each is an error.
        window: The values that become black and white; see `StackFrames`.
    """
    pairs = _npz_files(data_path) if kind == "npz" else _pair(kind, data_path, masks_path)
    videos: list[Video] = []
    depths: set[str] = set()
    for name, files in pairs.items():
        try:
            images, labels = _open(kind, *files)
            videos.append(StackVideo(name, StackFrames(images, window), labels))
        except (OSError, ValueError) as error:
            if problems is None:
                raise
            problems[name] = str(error)
            continue
        if images.dtype != np.uint8:
            depths.add(str(images.dtype))
    if depths and window is None:
        logger.info(
            f"{data_path}: of stacks of {', '.join(sorted(depths))} the 0.5th to the 99.5th "
            "percentile of each becomes 0 to 255; dataset.intensity_window sets one range for all"
        )
    return videos


def _open(kind: StackKind, image: Path, label: Path) -> tuple[Stack, Stack]:
    if kind == "npz":
        return open_npz_arrays(image)
    if kind == "tiff":
        return TiffStack(image), TiffStack(label)
    images, labels = NiftiStack(image), NiftiStack(label)
    scale = np.abs(images.affine).max()
    if not np.allclose(images.affine, labels.affine, rtol=0, atol=1e-3 * scale):
        logger.warning(
            f"{label}: by its head it lies elsewhere in space than {image.name}; slices are paired "
            "by their number: look at them (sam2-video check draws them)"
        )
    return images, labels


def _npz_files(data_path: Path) -> dict[str, tuple[Path, Path]]:
    files = [data_path] if data_path.is_file() else _files(data_path, "npz")
    if not files:
        raise FileNotFoundError(f"{data_path}: no NPZ files here; correct dataset.data_path")
    if data_path.is_dir():
        unread = [entry for entry in visible_entries(data_path) if entry not in files]
        warn_unread(data_path, unread, "an NPZ file for each video")
    return {path.stem: (path, path) for path in files}


def _pair(
    kind: StackKind, data_path: Path, masks_path: Path | None
) -> dict[str, tuple[Path, Path]]:
    """Return the image and the labels of each stack, by the name that is left of both."""
    found: dict[str, tuple[Path, Path]] = {}
    without: list[Path] = []
    place = None
    for place in _places(kind, data_path, masks_path):
        labels = {_base(path, kind, _LABEL_END): path for path in _labels(place, kind)}
        for path in _images(place, kind, data_path):
            base = _base(path, kind, _IMAGE_END)
            if base in labels:
                found[base] = (path, labels[base])
            else:
                without.append(path)
    if not found:
        shown = ", ".join(path.name for path in without[:3]) or "no image"
        where = data_path if place is None else place.labels
        raise FileNotFoundError(
            f"{data_path}: no labels in {where} for {shown}; expected a file of the same name in "
            f"{' or '.join(LABELS)}, or NAME_image and NAME_mask: name the folder of the labels in "
            "dataset.masks_path"
        )
    if without:
        names = ", ".join(path.name for path in without[:3])
        logger.warning(
            f"{data_path}: {len(without)} of {len(without) + len(found)} stacks have no labels "
            f"({names}): left out"
        )
    return found


def _places(kind: StackKind, data_path: Path, masks_path: Path | None) -> Iterable[_Place]:
    folder = data_path.parent if data_path.is_file() else data_path
    if masks_path is None and data_path.is_dir() and not _files(folder, kind):
        named = next((folder / name for name in IMAGES if (folder / name).is_dir()), None)
        cases = [entry for entry in visible_entries(folder) if entry.is_dir()]
        if named is None:
            return [_Place(case, case) for case in cases if _files(case, kind)]
        folder = named
    if masks_path is not None:
        return [_Place(folder, masks_path)]
    places = [above / name for above in (folder, folder.parent) for name in LABELS]
    if folder.name not in IMAGES:  # what lies beside any other folder need not belong to it
        places = [place for place in places if place.parent == folder]
    return [_Place(folder, next((one for one in places if one.is_dir()), folder))]


def _labels(place: _Place, kind: StackKind) -> Sequence[Path]:
    if place.labels.is_file():
        return [place.labels]
    files = _files(place.labels, kind)
    if place.labels != place.images:
        return files
    return [path for path in files if _LABEL_END.search(_stem(path, kind))]


def _images(place: _Place, kind: StackKind, data_path: Path) -> Sequence[Path]:
    if data_path.is_file():
        return [data_path]
    files = _files(place.images, kind)
    if place.labels == place.images:
        files = [path for path in files if not _LABEL_END.search(_stem(path, kind))]
    channels = [path for path in files if _OTHER_CHANNEL.search(_stem(path, kind))]
    first = {_base(path, kind, _IMAGE_END) for path in files}
    channels = [path for path in channels if _stem(path, kind)[:-5] in first]
    if channels:
        logger.warning(
            f"{place.images}: of each case the first channel is read, *_0000; not read: "
            f"{len(channels)} files of others ({channels[0].name}, ...)"
        )
    return [path for path in files if path not in set(channels)]


def _files(folder: Path, kind: StackKind) -> list[Path]:
    entries = visible_entries(folder) if folder.is_dir() else []
    return [
        entry for entry in entries if entry.name.lower().endswith(ENDINGS[kind]) and entry.is_file()
    ]


def _stem(path: Path, kind: StackKind) -> str:
    ending = next(one for one in ENDINGS[kind] if path.name.lower().endswith(one))
    return path.name[: -len(ending)]


def _base(path: Path, kind: StackKind, end: re.Pattern[str]) -> str:
    return end.sub("", _stem(path, kind))
