"""Pictures, one after another, into an mp4 that plays everywhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream
from jaxtyping import UInt8

QUALITY = "23"
"""Of x264: 18 can hardly be told from the original, 28 is coarse."""


class Movie:
    """An H.264 movie that is being written; pictures are all of one size, whose sides are even."""

    def __init__(
        self, container: OutputContainer, frame_rate: float, size: tuple[int, int]
    ) -> None:
        self._container = container
        stream = container.add_stream("libx264", rate=Fraction(frame_rate).limit_denominator(1001))
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = size
        # what every browser and phone plays, from the first byte on
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": QUALITY, "preset": "veryfast"}
        self._stream = stream

    def add(self, picture: UInt8[np.ndarray, "height width 3"]) -> None:
        """Write one picture."""
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Write what the encoder still holds."""
        self._container.mux(self._stream.encode(None))


@contextmanager
def open_movie(path: Path, frame_rate: float, size: tuple[int, int]) -> Iterator[Movie]:
    """Write a movie at (height, width) `size` to a file of any name.

    Pictures go to the file as they come, so a long movie fills no memory.
    """
    options = {"movflags": "faststart"}
    with av.open(str(path), "w", format="mp4", options=options) as container:
        movie = Movie(container, frame_rate, size)
        yield movie
        movie.finish()


def even_size(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Return the size of a movie: even sides, the longer at most `longest`.

    >>> even_size((2160, 3840), 1920), even_size((99, 51), 1920)
    ((1080, 1920), (98, 50))
    """
    scale = min(longest / max(size), 1.0)
    height, width = (max(2 * int(side * scale / 2 + 1e-6), 2) for side in size)
    return height, width
