"""Recognise the layout of a data set, saying what was seen and how sure that is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sam2_video.config.dataset import Format
from sam2_video.data.davis import ANNOTATIONS_OF, has_object_folders, is_davis
from sam2_video.data.frames import has_images
from sam2_video.data.json_files import JSON_NAMES, find_json, kind_of_json, name_export
from sam2_video.data.recording import is_video_file
from sam2_video.data.recordings import find_recordings
from sam2_video.data.sav import find_masklet_files, is_masklet_file
from sam2_video.data.stacks import StackKind, find_stacks, kind_of_stack
from sam2_video.data.unknown import refuse_exports, unknown

PARTS = ("train", "train_all_frames", "val", "valid", "validation", "test")
"""Names of folders into which published data sets, and exports, are divided."""

STACK_NAMES: dict[StackKind, str] = {
    "npz": "NPZ files",
    "nifti": "NIfTI volumes",
    "tiff": "TIFF files of several pages",
}


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
    found = next(_recognise_told(data_path, masks_path), None)
    if found is not None:
        return found
    # a folder `train` of frames may be a video, but not where it holds annotations as well
    _refuse_parts(data_path, masks_path, _recognise_told)
    found = next(_recognise_frames(data_path), None)
    if found is not None:
        return found
    _refuse_parts(data_path, masks_path, lambda path, _: _recognise_frames(path))
    refuse_exports(data_path)
    raise unknown(data_path, lambda path: _name_layout(path, masks_path))


def _name_layout(path: Path, masks_path: Path | None) -> str | None:
    layout = next(_recognise_told(path, masks_path), None) or next(_recognise_frames(path), None)
    return None if layout is None else layout.name


def _refuse_parts(
    data_path: Path,
    masks_path: Path | None,
    recognise: Callable[[Path, Path | None], Iterator[Layout]],
) -> None:
    """Refuse a folder of several data sets, naming them.

    Args:
        data_path: The folder.
        masks_path: Masks in a parallel tree.
        recognise: Yields what a part may be.
    """
    parts = [data_path / name for name in PARTS if (data_path / name).is_dir()]
    # a part of frames without masks, such as a test set, must not hide the others
    parts = [one for one in parts if is_davis(one) or next(recognise(one, masks_path), None)]
    if parts:
        names = ", ".join(part.name for part in parts)
        raise ValueError(
            f"{data_path}: holds the parts {names} of a data set; point dataset.data_path to one "
            f"of them, such as {parts[0]}, and dataset.val_path to what is to be validated on"
        )


def _recognise_file(path: Path) -> Layout:
    if is_masklet_file(path):
        return Layout("sav", "the path is a JSON file of SA-V", path, "certain")
    if is_video_file(path):
        return Layout("video_directory", "the path is a video file", path, "certain")
    if (stack := kind_of_stack(path)) is not None:
        return Layout(stack, f"the path is a stack, {STACK_NAMES[stack]}", path, "certain")
    if (told := name_export(path)) is not None:
        raise ValueError(f"{path}: {told}")
    if path.suffix.lower() != ".json":
        raise ValueError(
            f"{path}: neither a folder nor a JSON file; point dataset.data_path to a "
            "folder of videos or to a COCO JSON file"
        )
    kind = kind_of_json(path)
    if kind is None:
        return Layout("coco", "the path is a JSON file", path, "a guess")
    return Layout(kind, f"the path is a {JSON_NAMES[kind]} JSON file", path, "certain")


def _recognise_told(path: Path, masks_path: Path | None) -> Iterator[Layout]:
    """Yield what a folder may hold by files and names that say so, the clearest sign first."""
    yield from _recognise_sav(path)
    yield from _recognise_davis(path, masks_path)
    yield from _recognise_json(path)
    if (kind := find_stacks(path, PARTS)) is not None:
        yield Layout(kind, f"there are stacks, {STACK_NAMES[kind]}", path, "certain")


def _recognise_sav(path: Path) -> Iterator[Layout]:
    if next(find_masklet_files(path), None) is None:
        return
    reason, sureness = "there are JSON files named like SA-V's, *_manual.json", "certain"
    if is_davis(path):
        reason += "; there are JPEGImages too, which dataset.format: objects or davis reads"
        sureness = "likely"
    yield Layout("sav", reason, path, sureness)


def _recognise_davis(path: Path, masks_path: Path | None) -> Iterator[Layout]:
    if not is_davis(path):
        return
    if masks_path is None and not any((path / name).is_dir() for name in ANNOTATIONS_OF.values()):
        # YouTube-VIS and labelme2coco name the folder of their images like this as well
        yield from _recognise_json(path)
    if has_object_folders(path, masks_path):
        yield Layout("objects", "frames beside masks in a folder for each object", path, "certain")
    yield Layout("davis", "there is a folder JPEGImages", path, "certain")


def _recognise_json(path: Path) -> Iterator[Layout]:
    found = find_json(path)
    if found is not None:
        file, kind = found
        reason = f"the folder holds the {JSON_NAMES[kind]} file {file.relative_to(path)}"
        yield Layout(kind, reason, file, "certain")


def _recognise_frames(path: Path) -> Iterator[Layout]:
    if find_recordings(path):
        yield Layout("video_directory", "the folder holds video files", path, "likely")
    if has_images(path):
        if not (path / "masks").is_dir():
            refuse_exports(path)
        yield Layout("video_directory", "the folder holds frames", path, "likely")
    folders = (entry for entry in path.iterdir() if entry.is_dir())
    if any(entry.name != "masks" and has_images(entry) for entry in folders):
        yield Layout("video_directory", "folders of frames", path, "likely")
