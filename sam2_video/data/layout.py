"""Recognise the layout of a data set, and open it as a list of videos."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from loguru import logger

from sam2_video.data.coco import is_coco, open_coco, open_coco_images
from sam2_video.data.davis import FRAMES_FOLDER, is_davis, open_davis
from sam2_video.data.directory import open_video_directory
from sam2_video.data.frames import has_images
from sam2_video.data.stills import open_images
from sam2_video.data.video import Problems, Video
from sam2_video.masks import Palette


@dataclass(frozen=True)
class Layout:
    """How a data set lies on disk, why that was concluded, and the path to open."""

    name: Literal["video_directory", "davis", "coco", "images"]
    reason: str
    path: Path


_OPENERS = {"davis": open_davis, "video_directory": open_video_directory, "images": open_images}


def recognise_layout(data_path: Path) -> Layout:
    """Say which layout a path holds, and why.

    Raises:
        FileNotFoundError: There is nothing at the path.
        ValueError: It is no folder and no JSON file, or a folder of several COCO files.
    """
    if not data_path.exists():
        raise FileNotFoundError(f"{data_path}: does not exist; correct dataset.data_path")
    if data_path.is_file():
        if data_path.suffix.lower() != ".json":
            raise ValueError(
                f"{data_path}: neither a folder nor a JSON file; point dataset.data_path to a "
                "folder of videos or to a COCO JSON file"
            )
        return Layout("coco", "the path is a JSON file", data_path)
    if is_davis(data_path):
        return Layout("davis", f"there is a folder {FRAMES_FOLDER}", data_path)
    coco_files = [path for path in sorted(data_path.glob("*.json")) if is_coco(path)]
    if len(coco_files) > 1:
        names = ", ".join(path.name for path in coco_files)
        raise ValueError(
            f"{data_path}: several COCO files ({names}); point dataset.data_path to one of them"
        )
    if coco_files:
        return Layout("coco", f"the folder holds the COCO file {coco_files[0].name}", coco_files[0])
    is_single = has_images(data_path)
    reason = "the folder holds frames" if is_single else f"no {FRAMES_FOLDER} and no COCO file"
    return Layout("video_directory", reason, data_path)


def open_dataset(
    data_path: str | Path,
    masks_path: str | Path | None = None,
    format: Literal["auto", "video_directory", "davis", "coco", "images"] = "auto",
    colour_palette: Palette | None = None,
    problems: Problems | None = None,
) -> Sequence[Video]:
    """Open all videos of a data set, in natural order.

    Args:
        data_path: A folder of videos or of images, a DAVIS tree, or a COCO JSON file.
        masks_path: Masks in a parallel tree; for COCO the folder of the images.
        format: The layout, or auto: recognised and logged. `images`, each a video of one frame,
            is never recognised: a folder of images, or of a COCO file, may as well be one video.
        colour_palette: RGB colours of the objects 1, 2, ..., for masks that are RGB pictures.
        problems: Takes the videos that cannot be opened, by name; without, each is an error.
    """
    path = Path(data_path).expanduser()
    masks = Path(masks_path).expanduser() if masks_path is not None else None
    layout = recognise_layout(path)
    if format not in ("auto", layout.name):
        opened = layout.path if layout.name == "coco" and format == "images" else path
        layout = Layout(format, "dataset.format says so", opened)
    videos: Sequence[Video]
    if layout.name == "images" and layout.path.is_file():
        videos = open_coco_images(layout.path, masks, problems)
    elif layout.name == "coco":
        if layout.path.is_dir():
            raise ValueError(
                f"{path}: a folder without a COCO file; point dataset.data_path to the JSON file, "
                "or correct dataset.format"
            )
        videos = open_coco(layout.path, masks, problems)
    else:
        videos = _OPENERS[layout.name](layout.path, masks, colour_palette, problems)
    frames = sum(video.num_frames for video in videos)
    logger.info(
        f"{path}: layout {layout.name} ({layout.reason}): {len(videos)} videos, {frames} frames"
    )
    return videos
