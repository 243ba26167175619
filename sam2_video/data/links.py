"""Refuse videos of which a symbolic link leads to files outside their data set."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from sam2_video.data.video import Problems, Video


def refuse_links_out(
    videos: Sequence[Video], data_path: Path, masks_path: Path | None, problems: Problems | None
) -> Sequence[Video]:
    """Return the videos of which every file lies in the data set, followed to where it is.

    The paths that the user names may be links themselves, and what is below may link to each other.

    Args:
        videos: As they were opened.
        data_path: As the user named it.
        masks_path: The same.
        problems: Takes the videos with links out; without, each is an error.

    Raises:
        ValueError: a link leads out.
    """
    bounds = Bounds(path for path in (data_path, masks_path) if path is not None)
    kept: list[Video] = []
    for video in videos:
        try:
            bounds.check(video.frames.files())
            bounds.check(video.annotation_files())
        except ValueError as error:
            if problems is None:
                raise
            problems[video.video_id] = str(error)
            continue
        kept.append(video)
    return videos if len(kept) == len(videos) else kept


class Bounds:
    """The folders of a data set, and the links that were found in the folders looked at."""

    def __init__(self, paths: Iterable[Path]) -> None:
        named = list(paths)
        self._named = {str(path) for path in named}
        folders = [str(path if path.is_dir() else path.parent) for path in named]
        self._inside = {os.path.realpath(folder) for folder in folders}
        # a tree may be opened by where a named link leads
        self._above = [*map(os.path.abspath, folders), *self._inside]
        self._links: dict[str, frozenset[str]] = {}

    def check(self, files: Iterable[str]) -> None:
        """Refuse files that lie elsewhere; each folder is listed once, and only links followed.

        Raises:
            ValueError: names the link and where it leads.
        """
        for file in files:
            folder, _, name = file.rpartition(os.sep)
            links = self._links.get(folder)
            if links is None:
                links = self._links[folder] = self._look_at(folder)
            if name in links and file not in self._named:
                self._check_path(file)

    def _look_at(self, folder: str) -> frozenset[str]:
        place = folder or os.curdir
        self._check_path(place)
        if not os.path.isdir(place):  # noqa: PTH112 (what is gone is an error of its reader)
            return frozenset()
        with os.scandir(place) as entries:
            return frozenset(entry.name for entry in entries if entry.is_symlink())

    def _check_path(self, path: str) -> None:
        base = self._base(path)
        inside = self._inside | {os.path.realpath(base)}
        if _is_in(os.path.realpath(path), inside):
            return
        link = Path(base)
        for part in Path(os.path.relpath(path, base)).parts:
            link /= part
            if not _is_in(os.path.realpath(link), inside):
                break
        raise ValueError(
            f"{link}: a link to {os.path.realpath(link)}, which lies outside of the data set; put "
            "the files themselves there, point dataset.data_path or dataset.masks_path to where "
            "they are, or set dataset.follow_links: true if you trust the data"
        )

    def _base(self, path: str) -> str:
        """Return the innermost folder of the data set that a path is below as it is spelled.

        Masks and images may lie beside what was named, such as `Annotations` beside `JPEGImages`.
        """
        whole = os.path.abspath(path)  # noqa: PTH100 (the letters: links must stay)
        above = [folder for folder in self._above if _same_drive(folder, whole)]
        return max((os.path.commonpath([folder, whole]) for folder in above), key=len)


def _is_in(path: str, folders: Iterable[str]) -> bool:
    return any(path == one or path.startswith(one.rstrip(os.sep) + os.sep) for one in folders)


def _same_drive(one: str, other: str) -> bool:
    return os.path.splitdrive(one)[0] == os.path.splitdrive(other)[0]
