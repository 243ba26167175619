"""Open the layout of DAVIS, MOSE, YouTube-VOS, LVOS and SA-V: `JPEGImages` by `Annotations`."""

from dataclasses import dataclass
from pathlib import Path

from sam2_video.data.folder import open_folder_videos
from sam2_video.data.frames import has_images, natural_key, visible_entries, warn_unread
from sam2_video.data.links import Bounds
from sam2_video.data.meta_json import read_meta
from sam2_video.data.video import Problems, Video
from sam2_video.masks import Palette

ANNOTATIONS_OF = {"JPEGImages": "Annotations", "JPEGImages_24fps": "Annotations_6fps"}
"""Folders of frames, and of their masks; the second pair is that of SA-V's val and test sets."""
_WAY_OUT = "add its PNG files, or remove the video's frames"


@dataclass(frozen=True)
class SplitLists:
    """The videos that a DAVIS tree itself names for training and for validation."""

    folder: Path
    train: frozenset[str]
    validation: frozenset[str]


@dataclass(frozen=True)
class _Tree:
    """A folder that holds frames, and the level in it (`480p`, a video) that was asked for."""

    root: Path
    frames: str
    level: Path

    @property
    def frames_dir(self) -> Path:
        return self.root / self.frames / self.level


def _find_tree(path: Path) -> _Tree | None:
    """Return the tree of which a path is the root, or in whose frames it lies."""
    for name in ANNOTATIONS_OF:
        if (path / name).is_dir():
            return _Tree(path, name, Path())
    resolved = path.resolve()
    for above in (resolved, *resolved.parents[:2]):
        if above.name in ANNOTATIONS_OF:
            return _Tree(above.parent, above.name, resolved.relative_to(above))
    return None


def is_davis(path: Path) -> bool:
    """Say whether a folder is the root of a DAVIS tree, or lies under its `JPEGImages`."""
    return _find_tree(path) is not None


def has_object_folders(path: Path, masks_path: Path | None = None) -> bool:
    """Say whether the masks of the first video of a DAVIS tree are in a folder for each object.

    Raises:
        FileNotFoundError: there are no masks.
        ValueError: there are no videos, or several resolutions.
    """
    tree = _find_tree(path)
    masks = next(iter(_pair(tree, masks_path).values()), None) if tree is not None else None
    return masks is not None and masks.is_dir() and not has_images(masks)


def open_davis(
    data_path: Path,
    masks_path: Path | None = None,
    colour_palette: Palette | None = None,
    problems: Problems | None = None,
) -> list[Video]:
    """Open a DAVIS tree given its root, `JPEGImages`, a resolution in it (`480p`), or one video.

    The masks of a video are label maps, or a folder for each object.

    Args:
        data_path: Any of those folders.
        masks_path: Used in place of `Annotations`.
        colour_palette: Colours of the objects, for RGB masks.
        problems: Takes the videos that cannot be opened; without, each is an error.
    """
    tree = _find_tree(data_path)
    if tree is None:
        raise ValueError(
            f"{data_path}: no JPEGImages in this folder; expected JPEGImages[/480p]/VIDEO/*.jpg: "
            "correct dataset.data_path, or dataset.format"
        )
    pairs, meta = _pair(tree, masks_path), read_meta(tree.root)
    level = next(iter(pairs)).parent
    strays = [entry for entry in visible_entries(level) if not entry.is_dir()]
    warn_unread(level, strays, "a folder a video")
    return open_folder_videos(pairs, _WAY_OUT, colour_palette, problems, meta)


def _pair(tree: _Tree, masks_path: Path | None) -> dict[Path, Path]:
    """Return the folder of masks of each folder of frames that was asked for."""
    frames_dir = tree.frames_dir
    if frames_dir.parent != tree.root and has_images(frames_dir):
        masks = _annotations_of(tree, frames_dir.parent, masks_path) / frames_dir.name
        return {frames_dir: masks}
    frames_dir = _video_level(frames_dir)
    annotations = _annotations_of(tree, frames_dir, masks_path)
    folders = [entry for entry in visible_entries(frames_dir) if entry.is_dir()]
    return {folder: annotations / folder.name for folder in folders}


def read_split_lists(data_path: Path, *, follow_links: bool = False) -> SplitLists | None:
    """Return `ImageSets/**/train.txt` and `val.txt` of the tree a path lies in, if it has both.

    Of several pairs (DAVIS has `2016` and `2017`) the last in natural order is taken. Lists of
    files instead of videos, which older releases have as well, are passed over.

    Args:
        data_path: As for `open_davis`.
        follow_links: Read lists outside the tree that links in it lead to.

    Raises:
        ValueError: a list is no text, or a link leads out of the tree.
    """
    tree = _find_tree(data_path)
    if tree is None or len(tree.level.parts) > 1:
        return None
    pairs = []
    bounds = None if follow_links else Bounds([tree.root])
    for val_list in (tree.root / "ImageSets").rglob("val.txt"):
        train_list = val_list.with_name("train.txt")
        if train_list.is_file() and val_list.is_file():
            if bounds is not None:
                bounds.check(map(str, (train_list, val_list)))
            names = [_read_names(one) for one in (train_list, val_list)]
            if all(names) and not any("/" in name for name in names[0] | names[1]):
                pairs.append(SplitLists(val_list.parent, *names))
    return max(pairs, key=lambda pair: natural_key(str(pair.folder)), default=None)


def _read_names(path: Path) -> frozenset[str]:
    try:
        return frozenset(path.read_text("utf-8").split())
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: no list of videos ({error}); correct or remove it") from error


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
        f"{frames_dir}: no videos in this folder; expected JPEGImages[/480p]/VIDEO/*.jpg: "
        "correct dataset.data_path"
    )


def _annotations_of(tree: _Tree, frames_dir: Path, masks_path: Path | None) -> Path:
    """Return the annotations that belong to a folder of videos, with or without its resolution."""
    name = ANNOTATIONS_OF[tree.frames]
    root = masks_path or tree.root / name
    if not root.is_dir():
        raise FileNotFoundError(
            f"{root}: no masks: the folder does not exist; expected {name}[/480p]/VIDEO/*.png "
            f"beside {tree.frames}, or dataset.masks_path"
        )
    resolution = root / frames_dir.relative_to(tree.root / tree.frames)
    return resolution if resolution.is_dir() else root
