"""A video file as the frames of a video: opened late, few at a time, in each process anew."""

import os
from collections import OrderedDict
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from threading import Lock

from jaxtyping import UInt8
from torch import Tensor

from sam2_video.data.source import FrameSource
from sam2_video.data.video_file import VideoFile
from sam2_video.data.video_index import VideoIndex, read_index

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".gif", ".ts", ".mpg", ".mpeg")
MOST_OPEN = 3
"""Video files that a process keeps open: each holds a decoder and the frames it decoded last."""


def is_video_file(path: Path) -> bool:
    """Say whether a path names a video file that can be read."""
    return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()


class Recording(FrameSource):
    """The frames of a video file; which ones there are is found out once.

    With the number and size of the frames that somebody promises, the file is opened, and the
    promise checked, only when a frame is asked for. Frames beyond the promise are left alone.
    """

    def __init__(
        self, path: Path, num_frames: int | None = None, size: tuple[int, int] | None = None
    ) -> None:
        self.path = path
        self._num_frames = num_frames
        self._size = size

    @cached_property
    def _index(self) -> VideoIndex:
        index = read_index(self.path)
        num_frames, size = self._num_frames or index.num_frames, self._size or index.size
        if index.num_frames < num_frames or index.size != size:
            raise ValueError(
                f"{self.path}: {index.num_frames} frames of {index.size[0]}x{index.size[1]} "
                f"(height x width), but its annotations are of {num_frames} frames of "
                f"{size[0]}x{size[1]}; they belong to another version of the video"
            )
        return index

    def files(self) -> Iterable[str]:
        """Return the video file."""
        return (str(self.path),)

    def __len__(self) -> int:
        return self._num_frames or self._index.num_frames

    @property
    def size(self) -> tuple[int, int]:
        """Return height and width of the frames, upright."""
        return self._size or self._index.size

    def read(
        self, index: int, max_size: tuple[int, int] | None = None
    ) -> UInt8[Tensor, "3 height width"]:
        """Decode one frame, at its full size."""
        return _open_files().get(self.path, self._index)[index]


class _OpenFiles:
    """The video files that were asked for last; may be asked from several threads."""

    def __init__(self) -> None:
        self._files: OrderedDict[Path, VideoFile] = OrderedDict()
        self._lock = Lock()

    def get(self, path: Path, index: VideoIndex) -> VideoFile:
        with self._lock:
            if path not in self._files:
                self._files[path] = VideoFile(path, index)
            self._files.move_to_end(path)
            if len(self._files) > MOST_OPEN:
                self._files.popitem(last=False)
            return self._files[path]


# A forked process must neither read nor close what its parent has open: they share the position in
# the file, and a lock may be held by a thread that the fork left behind.
_of_process: dict[int, _OpenFiles] = {}


def _open_files() -> _OpenFiles:
    return _of_process.setdefault(os.getpid(), _OpenFiles())
