"""Recognise the layout of a data set, saying what was seen and how sure that is."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sam2_video.config.dataset import Format
from sam2_video.data.coco import is_coco
from sam2_video.data.davis import has_object_folders, is_davis
from sam2_video.data.frames import has_images
from sam2_video.data.sav import find_masklet_files, is_masklet_file

PARTS = ("train", "train_all_frames", "val", "valid", "validation", "test")
"""Names of folders into which published data sets, and exports, are divided."""


@dataclass(frozen=True)
class Layout:
    """How a data set lies on disk, what was seen, how sure that makes it, and the path to open."""

    name: Format
    reason: str
    path: Path
    sureness: Literal["certain", "likely", "a guess"]


def recognise_layout(data_path: Path, masks_path: Path | None = None) -> Layout:
    """Say which layout a path holds, and why.

    Raises:
        FileNotFoundError: There is nothing at the path, or no masks beside it.
        ValueError: It is nothing that can be read, or several data sets at once.
    """
    if not data_path.exists():
        raise FileNotFoundError(f"{data_path}: does not exist; correct dataset.data_path")
    if data_path.is_file():
        return _recognise_file(data_path)
    found = next(_recognise_folder(data_path, masks_path), None)
    if found is not None:
        return found
    parts = [data_path / name for name in PARTS if (data_path / name).is_dir()]
    # a part of frames without masks, such as a test set, must not hide the others
    parts = [
        one for one in parts if is_davis(one) or next(_recognise_folder(one, masks_path), None)
    ]
    if parts:
        names = ", ".join(part.name for part in parts)
        raise ValueError(
            f"{data_path}: holds the parts {names} of a data set; point dataset.data_path to one "
            f"of them, such as {parts[0]}, and dataset.val_path to what is to be validated on"
        )
    reason = "folders, and nothing that belongs to another layout"
    return Layout("video_directory", reason, data_path, "a guess")


def _recognise_file(path: Path) -> Layout:
    if is_masklet_file(path):
        return Layout("sav", "the path is a JSON file of SA-V", path, "certain")
    if path.suffix.lower() != ".json":
        raise ValueError(
            f"{path}: neither a folder nor a JSON file; point dataset.data_path to a "
            "folder of videos or to a COCO JSON file"
        )
    return Layout("coco", "the path is a JSON file", path, "likely")


def _recognise_folder(path: Path, masks_path: Path | None) -> Iterator[Layout]:
    """Yield what a folder may hold, what is told by the clearest signs first."""
    if next(find_masklet_files(path), None) is not None:
        reason, sureness = "there are JSON files named like SA-V's, *_manual.json", "certain"
        if is_davis(path):
            reason += "; there are JPEGImages too, which dataset.format: objects or davis reads"
            sureness = "likely"
        yield Layout("sav", reason, path, sureness)
    if is_davis(path):
        if has_object_folders(path, masks_path):
            reason = "frames beside masks in a folder for each object"
            yield Layout("objects", reason, path, "certain")
        yield Layout("davis", "there is a folder JPEGImages", path, "certain")
    file = find_coco(path)
    if file is not None:
        yield Layout("coco", f"the folder holds the COCO file {file.name}", file, "certain")
    if has_images(path):
        yield Layout("video_directory", "the folder holds frames", path, "likely")
    folders = (entry for entry in path.iterdir() if entry.is_dir())
    if any(entry.name != "masks" and has_images(entry) for entry in folders):
        yield Layout("video_directory", "folders of frames", path, "likely")


def find_coco(path: Path) -> Path | None:
    """Return the COCO file in a folder, or None.

    Raises:
        ValueError: there are several.
    """
    files = [file for file in sorted(path.glob("*.json")) if is_coco(file)]
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise ValueError(
            f"{path}: several COCO files ({names}); point dataset.data_path to one of them"
        )
    return files[0] if files else None
