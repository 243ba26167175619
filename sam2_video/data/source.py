"""Where the frames of a video come from: image files, a video file, or a stack of arrays."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from sam2_video.data.frames import read_rgb, read_size
from sam2_video.data.packed import FilePaths


class FrameSource(ABC):
    """Frames of one size, RGB, uint8, each read when it is asked for; may be sent to a process."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of frames."""

    def __getitem__(self, index: int) -> UInt8[Tensor, "3 height width"]:
        """Read one frame at its full size.

        Raises:
            IndexError: there is no such frame.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"got frame {index}; expected 0 to {len(self) - 1}")
        return self.read(index % len(self))

    def files(self) -> Iterable[str]:
        """Return the files that the frames are read from."""
        return ()

    def settings(self) -> Sequence[object]:
        """Return the settings on which it depends how these files are read."""
        return ()

    def check_size(self) -> None:  # noqa: B027 (most have no size but their own)
        """Compare a size that annotations promise with the first image's, where that is cheap.

        Raises:
            ValueError: they differ.
        """

    @property
    @abstractmethod
    def size(self) -> tuple[int, int]:
        """Return height and width of the frames as stored."""

    @abstractmethod
    def read(
        self, index: int, max_size: tuple[int, int] | None = None
    ) -> UInt8[Tensor, "3 height width"]:
        """Read one frame; see `Video.read_frame`."""


class ImageFiles(FrameSource, Sequence[Tensor]):
    """Image files, a file a frame, of the size given or else of the first one's."""

    def __init__(self, paths: Sequence[Path], size: tuple[int, int] | None = None) -> None:
        self.paths = FilePaths(paths)
        self._given_size = size
        self._is_checked = False

    def __len__(self) -> int:
        return len(self.paths)

    def files(self) -> Iterable[str]:
        """Return the image files, in the order of the frames."""
        return self.paths.present()

    @cached_property
    def size(self) -> tuple[int, int]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Height and width that each image must have."""
        return self._given_size or read_size(self.paths[0])

    def check_size(self) -> None:
        """Compare a size that was given with that in the first image's header, once."""
        if self._is_checked or self._given_size is None:
            return
        height, width = read_size(self.paths[0])
        if (height, width) != self._given_size:
            raise ValueError(
                f"{self.paths[0]}: the frame is {height}x{width} (height x width), but its "
                f"annotations are of {self._given_size[0]}x{self._given_size[1]}; correct the "
                "size there, or put the frames there that they were made of"
            )
        self._is_checked = True

    def read(
        self, index: int, max_size: tuple[int, int] | None = None
    ) -> UInt8[Tensor, "3 height width"]:
        """Read one image; a JPEG may be decoded smaller."""
        return read_rgb(self.paths[index], self.size, max_size)


def number_frames(count: int) -> tuple[str, ...]:
    """Return the names of frames that have none of their own: 00000, 00001, ...

    >>> number_frames(2)
    ('00000', '00001')
    """
    digits = max(5, len(str(count - 1)))
    return tuple(f"{index:0{digits}d}" for index in range(count))
