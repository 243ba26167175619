"""Open a video directory: a folder or a file a video, masks in a parallel tree or beside it."""

from collections.abc import Sequence
from pathlib import Path

from sam2_video.data.folder import open_folder_video, open_folder_videos
from sam2_video.data.frames import has_images, natural_key, visible_entries, warn_unread
from sam2_video.data.recordings import MASKS, find_masks, find_recordings, open_recording
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

    A video file may stand in place of a folder of frames; see `open_recording`. A folder that holds
    frames itself is one video; its masks may then lie in `masks_path` directly.
    `problems` takes the videos that cannot be opened; without, each is an error.
    """
    recordings = [data_path] if data_path.is_file() else [*find_recordings(data_path).values()]
    is_one_mask = bool(recordings) and masks_path is not None and masks_path.is_file()
    if masks_path is not None and not masks_path.is_dir() and not is_one_mask:
        raise FileNotFoundError(f"{masks_path}: dataset.masks_path is no folder; correct the path")
    if data_path.is_dir() and not recordings and has_images(data_path):
        return [_open_single(data_path, masks_path, colour_palette)]
    folders, recordings = _choose(data_path, masks_path, recordings)
    if not folders and not recordings:
        raise ValueError(
            f"{data_path}: no videos in this folder; expected a folder of frames, or a video file, "
            "for each video, a DAVIS tree (JPEGImages, Annotations) or a COCO JSON file: correct "
            "dataset.data_path"
        )
    masks_of = {
        folder: masks_path / folder.name if masks_path else folder / "masks" for folder in folders
    }
    videos = open_folder_videos(masks_of, _WAY_OUT, colour_palette, problems)
    is_only = len(recordings) == 1 and not folders
    for path in recordings:
        try:
            videos.append(open_recording(path, masks_path, colour_palette, is_only=is_only))
        except (OSError, ValueError) as error:
            if problems is None:
                raise
            problems[path.stem] = str(error)
    return sorted(videos, key=lambda video: natural_key(video.video_id))


def _choose(
    data_path: Path, masks_path: Path | None, recordings: Sequence[Path]
) -> tuple[Sequence[Path], Sequence[Path]]:
    """Return the folders of frames and the video files that are read; name what is not."""
    if data_path.is_file():
        return [], recordings
    names = {path.stem for path in recordings}
    inside = masks_path.resolve() if masks_path else None
    entries = visible_entries(data_path)
    folders = [entry for entry in entries if entry.is_dir() and entry.resolve() != inside]
    if recordings:
        folders = [folder for folder in folders if folder.name not in {MASKS, *names}]
    if folders:  # among folders of frames, a video file without masks is something else
        recordings = [one for one in recordings if find_masks(one, masks_path, is_only=False)]
    read = {path.stem for path in recordings}
    unread = [entry for entry in entries if not entry.is_dir() and entry.stem not in read]
    warn_unread(data_path, unread, "a folder, or a video file with masks, for each video")
    return folders, recordings


def _open_single(folder: Path, masks_path: Path | None, colour_palette: Palette | None) -> Video:
    if masks_path is None:
        masks_dir = folder / "masks"
    else:
        named = masks_path / folder.name
        masks_dir = named if named.is_dir() else masks_path
    return open_folder_video(folder, masks_dir, _WAY_OUT, colour_palette)
