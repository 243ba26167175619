"""Open SA-V's training set: video files beside JSON files of masklets, manual and automatic."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from sam2_video.data.frames import has_images, list_images, natural_key, warn_unread
from sam2_video.data.masklets import MaskletFile, MaskletVideo, read_facts
from sam2_video.data.recording import Recording, is_video_file
from sam2_video.data.source import FrameSource, ImageFiles, number_frames
from sam2_video.data.video import Problems, Video

ENDINGS = ("_manual", "_auto")
_FRAMES_FOLDERS = ("", "JPEGImages_24fps", "JPEGImages")


def is_masklet_file(path: Path) -> bool:
    """Say whether a path is named like a file of masklets."""
    return path.suffix == ".json" and path.stem.endswith(ENDINGS)


def find_masklet_files(folder: Path) -> Iterator[Path]:
    """Yield the files of masklets in a folder, and in the folders in it (`sav_000/`)."""
    for ending in ENDINGS:
        yield from folder.glob(f"*{ending}.json")
        yield from folder.glob(f"*/*{ending}.json")


def open_sav(
    data_path: Path, masks_path: Path | None = None, problems: Problems | None = None
) -> list[Video]:
    """Open `NAME.mp4` with `NAME_manual.json`, `NAME_auto.json` or both.

    Manual masklets keep their numbers; automatic ones are numbered from `AUTO_OFFSET` on. In place
    of a video file its frames may lie in `[JPEGImages_24fps/]NAME/*.jpg`.

    Args:
        data_path: The folder of the videos, the one above (`sav_train`), or one file of it.
        masks_path: The folder of the JSON files, if they lie elsewhere, or not all are to be read.
        problems: Takes the videos that cannot be opened; without, each is an error.

    Raises:
        FileNotFoundError: there are no masklets, or there is no video to them.
        ValueError: a JSON file is not as it should be.
    """
    folder = data_path.parent if data_path.is_file() else data_path
    files = _group(masks_path or folder)
    if data_path.is_file():
        name = _name_of(data_path)
        files = {name: files[name]} if name in files else {}
    if not files:
        raise FileNotFoundError(
            f"{data_path}: no masklets here; expected NAME_manual.json or NAME_auto.json beside "
            "NAME.mp4: name their folder in dataset.masks_path, or correct dataset.format"
        )
    recordings = {path.stem: path for path in _find_videos(folder)}
    unread = [path for name, path in recordings.items() if name not in files]
    if data_path.is_dir():
        warn_unread(folder, unread, "a JSON file of masklets for each video")
    videos: list[Video] = []
    for name, paths in sorted(files.items(), key=lambda item: natural_key(item[0])):
        try:
            videos.append(_open_video(name, paths, folder, recordings.get(name)))
        except (OSError, ValueError) as error:
            if problems is None:
                raise
            problems[name] = str(error)
    return videos


def _name_of(path: Path) -> str:
    """Return the video that a file of masklets, or a video file, belongs to."""
    for ending in ENDINGS:
        if is_masklet_file(path):
            path = path.with_name(path.stem.removesuffix(ending) + path.suffix)
    return path.stem


def _group(folder: Path) -> dict[str, list[Path]]:
    """Return the files of masklets of each video, manual ones first."""
    files: dict[str, list[Path]] = defaultdict(list)
    for path in find_masklet_files(folder):
        files[_name_of(path)].append(path)
    for name, paths in files.items():
        if len({path.name for path in paths}) < len(paths):
            raise ValueError(f"{folder}: two files of masklets of video {name}; remove one of them")
    return dict(files)


def _find_videos(folder: Path) -> Iterator[Path]:
    for pattern in ("*", "*/*"):
        yield from (path for path in folder.glob(pattern) if is_video_file(path))


def _open_video(
    name: str, paths: Sequence[Path], folder: Path, recording: Path | None
) -> MaskletVideo:
    files = [read_facts(path, is_auto=path.stem.endswith("_auto")) for path in paths]
    first = files[0]
    for other in files[1:]:
        if (other.size, other.num_frames) != (first.size, first.num_frames):
            raise ValueError(
                f"{other.path}: {other.num_frames} frames of {other.size[0]}x{other.size[1]} "
                f"(height x width), but {first.path.name} says {first.num_frames} of "
                f"{first.size[0]}x{first.size[1]}; download both files again"
            )
    frames = _find_frames(name, first, folder, recording)
    return MaskletVideo(name, frames, number_frames(first.num_frames), files)


def _find_frames(
    name: str, facts: MaskletFile, folder: Path, recording: Path | None
) -> FrameSource:
    if recording is not None:
        return Recording(recording, facts.num_frames, facts.size)
    places = [folder / level / name for level in _FRAMES_FOLDERS]
    place = next((one for one in places if one.is_dir() and has_images(one)), None)
    if place is None:
        raise FileNotFoundError(
            f"{facts.path}: there is no {name}.mp4 under {folder}, and no folder {name} of frames; "
            "put the video there, or point dataset.data_path to it"
        )
    images = list_images(place)
    if len(images) < facts.num_frames:
        raise ValueError(
            f"{place}: {len(images)} frames, but {facts.path.name} says {facts.num_frames}; "
            "extract all frames of the video, 24 a second"
        )
    return ImageFiles(images, facts.size)
