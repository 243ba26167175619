"""The mask files of one video: label maps (DAVIS), or a folder for each object (SA-V)."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sam2_video.data.frames import (
    has_images,
    list_images,
    natural_key,
    visible_entries,
    warn_unread,
)
from sam2_video.limits import is_id

Key = int | str
"""An object: a label, or the name of its folder (as a number where it is one)."""


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

    @property
    def by_frame(self) -> dict[str, Path]:
        """Return a file of each annotated frame, in natural order."""
        if not self.objects:
            return dict(self.labels)
        found = {stem: path for files in self.objects.values() for stem, path in files.items()}
        return {stem: found[stem] for stem in sorted(found, key=natural_key)}


def open_masks(path: Path) -> MaskFolder:
    """List the masks of one video.

    Raises:
        ValueError: There are no masks, two layouts at once, or JPEG files.
    """
    with os.scandir(path) as found:  # one look tells of all entries what they are
        names_of_folders = [one.name for one in found if one.is_dir()]
    shown = (name for name in names_of_folders if not name.startswith("."))
    folders = [path / name for name in sorted(shown, key=natural_key)]
    if has_images(path):
        if folders:
            raise ValueError(
                f"{path}: both mask files and folders ({folders[0].name}, ...); expected either "
                "VIDEO/*.png or VIDEO/OBJECT/*.png: move one of them"
            )
        return MaskFolder(path, labels=_mask_files(path))
    entries = visible_entries(path)
    if not folders:
        shown = ", ".join(entry.name for entry in entries[:3]) or "nothing"
        raise ValueError(
            f"{path}: no masks in this folder (found {shown}); expected VIDEO/*.png or "
            "VIDEO/OBJECT/*.png: add them, or remove the folder"
        )
    strays = [entry for entry in entries if not entry.is_dir()]
    warn_unread(path, strays, "a folder for each object")
    objects: dict[Key, Mapping[str, Path]] = {}
    names: dict[Key, str] = {}
    for folder in folders:
        is_number = folder.name.isdecimal() and is_id(int(folder.name))
        key = int(folder.name) if is_number else folder.name
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
