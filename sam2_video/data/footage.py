"""Frames without annotations: those of a video file, or the images of a folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from sam2_video.data.frames import list_images
from sam2_video.data.source import ImageFiles, number_frames
from sam2_video.data.video_file import VideoFile


@dataclass(frozen=True)
class Footage:
    """A video to look at: frames that are read when they are asked for.

    `size` is height and width; `frame_rate` is None for a folder, which does not tell; `images`
    are the files of a folder.
    """

    name: str
    frames: Sequence[Tensor]
    frame_names: tuple[str, ...]
    size: tuple[int, int]
    frame_rate: float | None
    images: tuple[Path, ...] | None


def open_footage(path: Path) -> Footage:
    """Open a video file, or a folder of images in natural order.

    Frames of a file are named by their number from 00000 on, those of a folder by their files.

    Raises:
        FileNotFoundError: there is nothing at the path.
        ValueError: it is no video, or no folder of images.
    """
    if path.is_dir():
        images = list_images(path, beside="masks")
        folder = ImageFiles(images)
        names = tuple(image.stem for image in images)
        return Footage(path.resolve().name, folder, names, folder.size, None, images)
    if not path.exists():
        raise FileNotFoundError(f"{path}: does not exist; expected a video file or a folder")
    video = VideoFile(path)
    names = number_frames(len(video))
    return Footage(path.stem, video, names, video.size, video.frame_rate, None)
