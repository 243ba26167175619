"""Open the layout of DAVIS, MOSE and YouTube-VOS: `JPEGImages` beside `Annotations`."""

from dataclasses import dataclass
from pathlib import Path

from sam2_video.data.folder import FolderVideo, open_folder_videos
from sam2_video.data.frames import has_images, natural_key, visible_entries, warn_unread
from sam2_video.data.video import Problems
from sam2_video.masks import Palette

FRAMES_FOLDER = "JPEGImages"
_WAY_OUT = "add its PNG files, or remove the video's frames"


@dataclass(frozen=True)
class SplitLists:
    """The videos that a DAVIS tree itself names for training and for validation."""

    folder: Path
    train: frozenset[str]
    validation: frozenset[str]


def is_davis(path: Path) -> bool:
    """Say whether a folder is the root of a DAVIS tree, or lies under its `JPEGImages`."""
    return (path / FRAMES_FOLDER).is_dir() or FRAMES_FOLDER in path.resolve().parts[-3:]


def open_davis(
    data_path: Path,
    masks_path: Path | None = None,
    colour_palette: Palette | None = None,
    problems: Problems | None = None,
) -> list[FolderVideo]:
    """Open a DAVIS tree given its root, `JPEGImages`, a resolution in it (`480p`), or one video.

    Args:
        data_path: Any of those folders.
        masks_path: Used in place of `Annotations`.
        colour_palette: Colours of the objects, for RGB masks.
        problems: Takes the videos that cannot be opened; without, each is an error.
    """
    root_frames = data_path / FRAMES_FOLDER
    frames_dir = root_frames if root_frames.is_dir() else data_path
    if FRAMES_FOLDER not in frames_dir.resolve().parts:
        raise ValueError(
            f"{data_path}: no {FRAMES_FOLDER} in this folder; expected {FRAMES_FOLDER}[/480p]/"
            "VIDEO/*.jpg: correct dataset.data_path, or dataset.format"
        )
    if frames_dir.name != FRAMES_FOLDER and has_images(frames_dir):
        masks = _annotations_of(frames_dir.parent, masks_path) / frames_dir.name
        return open_folder_videos({frames_dir: masks}, _WAY_OUT, colour_palette, problems)
    frames_dir = _video_level(frames_dir)
    annotations = _annotations_of(frames_dir, masks_path)
    entries = visible_entries(frames_dir)
    warn_unread(frames_dir, [entry for entry in entries if not entry.is_dir()], "a folder a video")
    masks_of = {folder: annotations / folder.name for folder in entries if folder.is_dir()}
    return open_folder_videos(masks_of, _WAY_OUT, colour_palette, problems)


def read_split_lists(data_path: Path) -> SplitLists | None:
    """Return `ImageSets/**/train.txt` and `val.txt` of the tree a path lies in, if it has both.

    Of several pairs (DAVIS has `2016` and `2017`) the last in natural order is taken. Lists of
    files instead of videos, which older releases have as well, are passed over.
    """
    path = data_path.resolve()
    roots = [path, *path.parents[:2]]
    root = next((one for one in roots if (one / FRAMES_FOLDER).is_dir()), None)
    if root is None:
        return None
    pairs = []
    for val_list in (root / "ImageSets").rglob("val.txt"):
        train_list = val_list.with_name("train.txt")
        if train_list.is_file():
            names = [frozenset(one.read_text("utf-8").split()) for one in (train_list, val_list)]
            if all(names) and not any("/" in name for name in names[0] | names[1]):
                pairs.append(SplitLists(val_list.parent, *names))
    return max(pairs, key=lambda pair: natural_key(str(pair.folder)), default=None)


def _video_level(frames_dir: Path) -> Path:
    """Return the folder whose subfolders are videos: this one, or its only resolution folder."""
    folders = [entry for entry in visible_entries(frames_dir) if entry.is_dir()]
    if any(has_images(folder) for folder in folders):
        return frames_dir
    nested = [folder for folder in folders if any(entry.is_dir() for entry in folder.iterdir())]
    if len(nested) == 1:
        return nested[0]
    if nested:
        names = ", ".join(folder.name for folder in nested)
        raise ValueError(
            f"{frames_dir}: several resolutions ({names}); point dataset.data_path to one of them"
        )
    raise ValueError(
        f"{frames_dir}: no videos in this folder; expected {FRAMES_FOLDER}[/480p]/VIDEO/*.jpg: "
        "correct dataset.data_path"
    )


def _annotations_of(frames_dir: Path, masks_path: Path | None) -> Path:
    """Return the annotations that belong to a folder of videos, with or without its resolution."""
    parts = frames_dir.resolve().parts
    level = len(parts) - 1 - parts[::-1].index(FRAMES_FOLDER)
    root = masks_path or Path(*parts[:level], "Annotations")
    if not root.is_dir():
        raise FileNotFoundError(
            f"{root}: no masks: the folder does not exist; expected Annotations[/480p]/VIDEO/*.png "
            f"beside {FRAMES_FOLDER}, or dataset.masks_path"
        )
    resolution = root.joinpath(*parts[level + 1 :])
    return resolution if resolution.is_dir() else root
