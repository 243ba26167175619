"""Open a data set of any layout as a list of videos."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from sam2_video.config.dataset import Format
from sam2_video.data.coco import open_coco, open_coco_images
from sam2_video.data.davis import is_davis, open_davis
from sam2_video.data.directory import open_video_directory
from sam2_video.data.index import index_path, recall
from sam2_video.data.json_files import JsonKind, find_json
from sam2_video.data.links import refuse_links_out
from sam2_video.data.recognise import Layout, recognise_layout
from sam2_video.data.sav import open_sav
from sam2_video.data.stack import Window
from sam2_video.data.stacks import StackKind, open_stacks
from sam2_video.data.stills import open_images
from sam2_video.data.video import Problems, Video
from sam2_video.data.ytvis import open_ytvis
from sam2_video.masks import Palette


def open_dataset(
    data_path: str | Path,
    masks_path: str | Path | None = None,
    format: Format = "auto",
    colour_palette: Palette | None = None,
    problems: Problems | None = None,
    video_pattern: str | None = None,
    intensity_window: Sequence[float] | None = None,
    *,
    follow_links: bool = False,
) -> Sequence[Video]:
    """Open all videos of a data set, in natural order.

    Args:
        data_path: What holds the videos; see docs/data.md.
        masks_path: Masks in a parallel tree; for COCO the folder of the images.
        format: The layout, or auto: recognised and logged. `images`, each a video of one frame,
            is never recognised: a folder of images, or of a COCO file, may as well be one video.
        colour_palette: RGB colours of the objects 1, 2, ..., for masks that are RGB pictures.
        problems: Takes the videos that cannot be opened, by name; without, each is an error.
        video_pattern: What finds video and frame in the names of a COCO file's images.
        intensity_window: The values of stacks that become black and white; see `StackFrames`.
        follow_links: Read files outside the data set that links in it lead to.
    """
    path = Path(data_path).expanduser()
    masks = Path(masks_path).expanduser() if masks_path is not None else None
    layout = choose_layout(path, masks, format)
    window = None if intensity_window is None else (intensity_window[0], intensity_window[1])
    wanted = _Wanted(
        layout.path, masks, colour_palette, problems, video_pattern, window, follow_links
    )
    videos = _OPENERS[layout.name](wanted)
    if not follow_links:
        videos = refuse_links_out(videos, path, masks, problems)
    frames = sum(video.num_frames for video in videos)
    recall(videos, index_path(path, masks, layout.name))
    logger.info(
        f"{path}: layout {layout.name} ({layout.sureness}: {layout.reason}): {len(videos)} videos, "
        f"{frames} frames{_count_labelled(videos, frames)}{_name_objects(videos)}"
    )
    return videos


def choose_layout(path: Path, masks: Path | None, format: Format) -> Layout:
    """Return the layout that is named, or that is recognised for `auto`.

    Raises:
        FileNotFoundError: there is nothing at the path, or no masks beside it.
        ValueError: it is nothing that can be read, or several data sets at once.
    """
    if format == "auto":
        return recognise_layout(path, masks)
    if not path.exists():
        raise FileNotFoundError(f"{path}: does not exist; correct dataset.data_path")
    return Layout(format, "dataset.format says so", path, "certain")


@dataclass(frozen=True)
class _Wanted:
    """What `open_dataset` was asked for, and the path that holds it."""

    path: Path
    masks: Path | None
    palette: Palette | None
    problems: Problems | None
    video_pattern: str | None
    window: Window | None
    follow_links: bool


def _open_objects(wanted: _Wanted) -> Sequence[Video]:
    opened = open_davis if is_davis(wanted.path) else open_video_directory
    return opened(wanted.path, wanted.masks, wanted.palette, wanted.problems)


def _open_coco(wanted: _Wanted) -> Sequence[Video]:
    path = _json_in(wanted, "coco")
    return open_coco(
        path,
        wanted.masks,
        wanted.problems,
        wanted.video_pattern,
        follow_links=wanted.follow_links,
    )


def _json_in(wanted: _Wanted, kind: JsonKind) -> Path:
    if not wanted.path.is_dir():
        return wanted.path
    found = find_json(wanted.path, kind)
    if found is None:
        raise ValueError(
            f"{wanted.path}: a folder without a {kind.upper()} file; point dataset.data_path to "
            "the JSON file, or correct dataset.format"
        )
    return found[0]


def _open_stills(wanted: _Wanted) -> Sequence[Video]:
    is_folder = wanted.path.is_dir()
    found = find_json(wanted.path, "coco") if is_folder else (wanted.path, "coco")
    if found is not None:
        return open_coco_images(
            found[0], wanted.masks, wanted.problems, follow_links=wanted.follow_links
        )
    return open_images(wanted.path, wanted.masks, wanted.palette, wanted.problems)


def _open_stacks(kind: StackKind) -> Callable[[_Wanted], Sequence[Video]]:
    return lambda one: open_stacks(kind, one.path, one.masks, one.problems, one.window)


_OPENERS: dict[str, Callable[[_Wanted], Sequence[Video]]] = {
    "davis": lambda one: open_davis(one.path, one.masks, one.palette, one.problems),
    "objects": _open_objects,
    "video_directory": lambda one: open_video_directory(
        one.path, one.masks, one.palette, one.problems
    ),
    "sav": lambda one: open_sav(one.path, one.masks, one.problems),
    "coco": _open_coco,
    "ytvis": lambda one: open_ytvis(
        _json_in(one, "ytvis"), one.masks, one.problems, follow_links=one.follow_links
    ),
    "npz": _open_stacks("npz"),
    "nifti": _open_stacks("nifti"),
    "tiff": _open_stacks("tiff"),
    "images": _open_stills,
}


def _count_labelled(videos: Sequence[Video], frames: int) -> str:
    """Return how many frames are annotated, where not all are."""
    labelled = sum(len(video.labelled_frames) for video in videos)
    return f", {labelled} of them annotated" if labelled < frames else ""


def _name_objects(videos: Sequence[Video]) -> str:
    """Return what the data call their objects, for the log."""
    names = sorted({name for video in videos for name in video.object_names.values()})
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"; {len(names)} names of objects ({shown})" if names else ""
