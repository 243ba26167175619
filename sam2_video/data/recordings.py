"""Open video files with masks drawn on some of their frames, which are named by their number."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from sam2_video.data.folder import join_masks
from sam2_video.data.frames import is_image, visible_entries
from sam2_video.data.mask_folder import MaskFolder, open_masks
from sam2_video.data.recording import Recording, is_video_file
from sam2_video.data.source import number_frames
from sam2_video.data.video import Video
from sam2_video.masks import Palette

MASKS = "masks"
"""The folder, beside video files, of their masks."""


def find_recordings(folder: Path) -> dict[str, Path]:
    """Return the video files of a folder by name; none where the folder is itself a video.

    Images beside video files are masks if each is named like one of them; else they are frames,
    and the video files something else.

    Raises:
        ValueError: two video files have one name.
    """
    files = [entry for entry in visible_entries(folder) if is_video_file(entry)]
    found = {path.stem: path for path in files}
    for path in files:
        if found[path.stem] != path:
            raise ValueError(
                f"{folder}: {path.name} and {found[path.stem].name} are one video by name; rename "
                "one of them"
            )
    images = (entry for entry in visible_entries(folder) if is_image(entry))
    return found if all(image.stem in found for image in images) else {}


def open_recording(
    path: Path, masks_path: Path | None, colour_palette: Palette | None, *, is_only: bool
) -> Video:
    """Open a video file with its masks: a folder of them, or one, which is of the first frame.

    A mask belongs to the frame whose number its name ends with, counted from 0.

    Args:
        path: The video file, `NAME.mp4`.
        masks_path: Where masks are, in place of the file's own folder and of `masks` in it: there
            they are `NAME/*.png` or `NAME.png`.
        colour_palette: Colours of the objects, for RGB masks.
        is_only: It is the only video, so that masks may lie there without its name, too.

    Raises:
        FileNotFoundError: there are no masks.
        ValueError: the file is no video, or a mask belongs to no frame.
    """
    masks = find_masks(path, masks_path, is_only=is_only)
    if masks is None:
        places = " or ".join(map(str, _places(path, masks_path)))
        raise FileNotFoundError(
            f"{path}: no masks: neither a folder {path.stem} nor an image {path.stem}.png in "
            f"{places}; put masks of its frames there, named by their number from 0 on, or one of "
            "the first frame, or name their folder in dataset.masks_path"
        )
    recording = Recording(path)
    names = number_frames(len(recording))
    return join_masks(path.stem, recording, names, _by_frame(path, masks, names), colour_palette)


def find_masks(path: Path, masks_path: Path | None, *, is_only: bool) -> MaskFolder | None:
    """Return the masks of a video file, or None; see `open_recording`."""
    if masks_path is not None and is_only and is_image(masks_path):
        return MaskFolder(masks_path.parent, labels={masks_path.stem: masks_path})
    for place in _places(path, masks_path):
        if (place / path.stem).is_dir():
            return open_masks(_inner(place / path.stem))
        entries = visible_entries(place) if place.is_dir() else []
        one = next((one for one in entries if is_image(one) and one.stem == path.stem), None)
        if one is not None:
            return MaskFolder(one.parent, labels={path.stem: one})
        if is_only and entries and not place.samefile(path.parent):
            return open_masks(place)
    return None


def _places(path: Path, masks_path: Path | None) -> Sequence[Path]:
    return (path.parent / MASKS, path.parent) if masks_path is None else (masks_path,)


def _inner(folder: Path) -> Path:
    return folder / MASKS if (folder / MASKS).is_dir() else folder


def _by_frame(video: Path, masks: MaskFolder, names: Sequence[str]) -> MaskFolder:
    """Return masks by the names of their frames."""
    if not masks.objects:
        return MaskFolder(masks.path, labels=_number(video, masks.labels, names))
    objects = {key: _number(video, files, names) for key, files in masks.objects.items()}
    return MaskFolder(masks.path, objects=objects, names=masks.names)


def _number(video: Path, files: Mapping[str, Path], names: Sequence[str]) -> dict[str, Path]:
    """Return mask files by the names of the frames whose numbers are in their own names."""
    numbers = {stem: re.search(r"(\d+)\D*$", stem) for stem in files}
    if len(files) == 1:
        ((stem, found),) = numbers.items()
        if found is None or stem == video.stem:
            return {names[0]: files[stem]}
    for stem, found in numbers.items():
        if found is None:
            raise ValueError(
                f"{files[stem]}: no number in the name, so its frame of {video.name} is unknown; "
                "name masks by the number of their frame, from 0 on: 00000.png"
            )
    frames = {stem: int(found[1]) for stem, found in numbers.items() if found is not None}
    last = max(frames, key=lambda stem: frames[stem])
    if frames[last] >= len(names):
        counted = min(frames.values()) > 0 and frames[last] == len(names)
        hint = " (these may be counted from 1, as FFmpeg does)" if counted else ""
        raise ValueError(
            f"{files[last]}: there is no frame {frames[last]}: {video.name} has {len(names)}; "
            f"number masks from 0 to {len(names) - 1}{hint}"
        )
    (double, count), *_ = Counter(frames.values()).most_common(1)
    if count > 1:
        shown = " and ".join(files[stem].name for stem in frames if frames[stem] == double)
        raise ValueError(
            f"{files[last].parent}: {shown} are masks of one frame; remove one of them"
        )
    return {names[frame]: files[stem] for stem, frame in frames.items()}
