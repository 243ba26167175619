"""Find the images that a JSON file names: they exist, and none lies outside their folder."""

import reprlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from sam2_video.data.frames import IMAGE_SUFFIXES
from sam2_video.limits import is_name


@dataclass(frozen=True)
class ImagesFolder:
    """The folder of a JSON file's images, and whether links may lead out of it."""

    json_path: Path
    root: Path
    follow_links: bool = False


def find_images_root(json_path: Path, file_name: str) -> Path:
    """Return the folder in which a JSON file's first image lies; the file's own if it is nowhere.

    Exports have their images beside the JSON file, in `images` or `JPEGImages` there, or, where
    the JSON lies in `annotations`, in `images` beside that, or in `images/SUBSET`.
    """
    parts = PureWindowsPath(file_name).parts
    if not all(map(is_name, parts)):
        return json_path.parent
    return next(
        (root for root in _roots(json_path) if root.joinpath(*parts).is_file()), json_path.parent
    )


def _roots(json_path: Path) -> Iterator[Path]:
    folder = json_path.parent
    # instances_default.json is CVAT's, instances_train2017.json COCO's
    subset = json_path.stem.rpartition("_")[2]
    yield from (folder, folder / "images", folder / "JPEGImages")
    yield from (folder.parent / name for name in ("images", f"images/{subset}", subset))


def image_path(folder: ImagesFolder, file_name: str) -> Path:
    """Return the path of an image, which must exist and must not leave the images' folder."""
    json_path, root = folder.json_path, folder.root
    # The Windows reading of a path takes both kinds of slashes, and knows drives.
    pure = PureWindowsPath(file_name)
    path = root.joinpath(*pure.parts)
    if not all(map(is_name, pure.parts)):
        raise ValueError(
            f"{json_path}: file_name {reprlib.repr(file_name)} is no name of a file; correct the "
            "JSON"
        )
    outside = bool(pure.drive or pure.root) or ".." in pure.parts
    is_link_out = not outside and not _is_in(path, folder)
    if outside or is_link_out:
        told = ", or set dataset.follow_links: true if you trust the data" if is_link_out else ""
        where = f" to {path.resolve()}" if is_link_out else ""
        raise ValueError(
            f"{json_path}: file_name {file_name!r} leads out of {root}{where}; use paths relative "
            f"to the images' folder, and name that folder in dataset.masks_path{told}"
        )
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise ValueError(
            f"{json_path}: {file_name!r} is no image file of {', '.join(IMAGE_SUFFIXES)}; "
            "convert the frames"
        )
    if not path.is_file():
        nearby = (root.parent, root / "images", root.parent / "images")
        found = [folder for folder in nearby if folder.joinpath(*pure.parts).is_file()]
        hint = f"it is there under {found[0]}: set" if found else "name the images' folder in"
        value = f"dataset.masks_path to {found[0]}" if found else "dataset.masks_path"
        raise FileNotFoundError(
            f"{json_path}: image {file_name!r} does not exist in {root}; {hint} {value} (of "
            "dataset.val_path: dataset.val_masks_path)"
        )
    return path


def _is_in(path: Path, folder: ImagesFolder) -> bool:
    return folder.follow_links or path.resolve().is_relative_to(folder.root.resolve())
