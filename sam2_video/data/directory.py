"""Open a video directory: a folder a video, masks in a parallel tree or in `VIDEO/masks/`."""

from pathlib import Path

from sam2_video.data.folder import open_folder_video, open_folder_videos
from sam2_video.data.frames import has_images, visible_entries, warn_unread
from sam2_video.data.video import Problems, Video
from sam2_video.masks import Palette

_WAY_OUT = "put masks into VIDEO/masks/, or name their parallel tree in dataset.masks_path"


def open_video_directory(
    data_path: Path,
    masks_path: Path | None = None,
    colour_palette: Palette | None = None,
    problems: Problems | None = None,
) -> list[Video]:
    """Open `data_path/VIDEO/*.jpg` with `masks_path/VIDEO/*.png` or `data_path/VIDEO/masks/*.png`.

    A folder that holds frames itself is one video; its masks may then lie in `masks_path` directly.
    `problems` takes the videos that cannot be opened; without, each is an error.
    """
    if masks_path is not None and not masks_path.is_dir():
        raise FileNotFoundError(f"{masks_path}: dataset.masks_path is no folder; correct the path")
    if has_images(data_path):
        return [_open_single(data_path, masks_path, colour_palette)]
    entries = visible_entries(data_path)
    inside = masks_path.resolve() if masks_path else None
    folders = [entry for entry in entries if entry.is_dir() and entry.resolve() != inside]
    if not folders:
        raise ValueError(
            f"{data_path}: no videos in this folder; expected a folder of frames for each video, "
            "a DAVIS tree (JPEGImages, Annotations) or a COCO JSON file: correct dataset.data_path"
        )
    warn_unread(data_path, [entry for entry in entries if not entry.is_dir()], "a folder a video")
    masks_of = {
        folder: masks_path / folder.name if masks_path else folder / "masks" for folder in folders
    }
    return open_folder_videos(masks_of, _WAY_OUT, colour_palette, problems)


def _open_single(folder: Path, masks_path: Path | None, colour_palette: Palette | None) -> Video:
    if masks_path is None:
        masks_dir = folder / "masks"
    else:
        named = masks_path / folder.name
        masks_dir = named if named.is_dir() else masks_path
    return open_folder_video(folder, masks_dir, _WAY_OUT, colour_palette)
