"""Find the mask files of videos: label maps (DAVIS), or a folder for each object (SA-V)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sam2_video.data.frames import has_images, list_images, natural_key, visible_entries

Key = int | str
"""An object: a label, or the name of its folder (as a number where it is one)."""

_ANNOTATIONS = ("Annotations", "Annotations_6fps")
_RESOLUTIONS = ("480p", "1080p", "Full-Resolution")


@dataclass(frozen=True)
class MaskFolder:
    """The masks of one video: files by frame name, in natural order.

    Either `labels` (one file a frame, its values are the objects), or `objects` (files of each
    object) with `names`, the objects' folders.
    """

    path: Path
    labels: Mapping[str, Path] = field(default_factory=dict)
    objects: Mapping[Key, Mapping[str, Path]] = field(default_factory=dict)
    names: Mapping[Key, str] = field(default_factory=dict)

    def name_of(self, key: Key) -> str:
        """Return how an object is called in tables."""
        return self.names.get(key, str(key))


def find_videos(root: Path, side: str) -> dict[str, Path]:
    """Return the folder of each video in natural order, given any level of a data set's tree.

    Args:
        root: the folder of videos, a folder above it (`Annotations/480p`), or one video's masks.
        side: `truth` or `predictions`, for messages.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: It holds no video.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder of {side}; correct --{side}")
    root = _video_level(root, side)
    if has_images(root):
        return {root.name: root}
    videos = {entry.name: entry for entry in visible_entries(root) if entry.is_dir()}
    if not videos:
        raise ValueError(
            f"{root}: no videos in this folder of {side}; expected VIDEO/*.png, or "
            f"VIDEO/OBJECT/*.png: correct --{side}"
        )
    return videos


def _video_level(root: Path, side: str) -> Path:
    for name in _ANNOTATIONS:
        if (root / name).is_dir():
            root = root / name
            break
    resolutions = [name for name in _RESOLUTIONS if (root / name).is_dir()]
    if len(resolutions) > 1:
        raise ValueError(
            f"{root}: several resolutions ({', '.join(resolutions)}); point --{side} to one of them"
        )
    return root / resolutions[0] if resolutions else root


def open_masks(path: Path) -> MaskFolder:
    """List the masks of one video.

    Raises:
        ValueError: There are no masks, two layouts at once, or JPEG files.
    """
    folders = [entry for entry in visible_entries(path) if entry.is_dir()]
    if has_images(path):
        if folders:
            raise ValueError(
                f"{path}: both mask files and folders ({folders[0].name}, ...); expected either "
                "VIDEO/*.png or VIDEO/OBJECT/*.png: move one of them"
            )
        return MaskFolder(path, labels=_mask_files(path))
    if not folders:
        raise ValueError(
            f"{path}: no masks in this folder; expected VIDEO/*.png or VIDEO/OBJECT/*.png: add "
            "them, or remove the folder"
        )
    objects: dict[Key, Mapping[str, Path]] = {}
    names: dict[Key, str] = {}
    for folder in folders:
        key = int(folder.name) if folder.name.isdecimal() else folder.name
        if key in names:
            raise ValueError(
                f"{path}: the folders {names[key]} and {folder.name} are one object by number; "
                "rename one of them"
            )
        objects[key], names[key] = _mask_files(folder), folder.name
    return MaskFolder(path, objects=objects, names=names)


def _mask_files(folder: Path) -> dict[str, Path]:
    files = {path.stem: path for path in list_images(folder)}
    for path in files.values():
        if path.suffix.lower() in (".jpg", ".jpeg"):
            raise ValueError(
                f"{path}: a JPEG mask has lost its exact values; export the masks as PNG"
            )
    return files


def sorted_frames(folder: MaskFolder) -> list[str]:
    """Return the names of all annotated frames of a video in natural order."""
    stems = {stem for files in (folder.labels, *folder.objects.values()) for stem in files}
    return sorted(stems, key=natural_key)
