"""Movies: panels side by side, one picture after another, into an mp4 that plays everywhere."""

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from sam2_video.visualise.sheet import INK, PAPER, SOFT_INK, load_font

TEXT, LINE, GAP = 17, 26, 8
QUALITY = "24"  # of x264: 18 is near lossless, 28 is coarse


@dataclass(frozen=True)
class Panel:
    """One picture of a movie's frame, and what stands above it."""

    title: str
    picture: UInt8[np.ndarray, "height width 3"]


def draw_panels(panels: Sequence[Panel], caption: str) -> UInt8[np.ndarray, "height width 3"]:
    """Return panels of one size side by side, with their titles above and a line below."""
    height, width = panels[0].picture.shape[:2]
    # sides must be even: H.264 stores colour at half the size
    full_width = len(panels) * (width + GAP) + GAP
    full_height = height + 2 * LINE + GAP
    page = Image.new("RGB", (full_width + full_width % 2, full_height + full_height % 2), PAPER)
    draw = ImageDraw.Draw(page)
    bold, plain = load_font("DejaVuSans-Bold", TEXT), load_font("DejaVuSans", TEXT)
    for number, panel in enumerate(panels):
        left = GAP + number * (width + GAP)
        page.paste(Image.fromarray(panel.picture), (left, LINE + GAP // 2))
        draw.text((left, GAP // 2 + LINE // 2), panel.title, INK, bold, anchor="lm")
    draw.text((GAP, LINE + GAP + height + LINE // 2), caption, SOFT_INK, plain, anchor="lm")
    return np.array(page)


class Movie:
    """An H.264 movie that is being written; pictures are all of one size, whose sides are even."""

    def __init__(
        self, container: OutputContainer, frame_rate: Fraction, size: tuple[int, int]
    ) -> None:
        self._container = container
        stream = container.add_stream("libx264", rate=frame_rate)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = size
        # what every browser and phone plays, from the first byte on
        stream.pix_fmt = "yuv420p"
        # how many threads there are must not show in the file
        stream.options = {"crf": QUALITY, "preset": "veryfast", "threads": "1"}
        self._stream = stream

    def add(self, picture: UInt8[np.ndarray, "height width 3"]) -> None:
        """Write one picture."""
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Write what the encoder still holds."""
        self._container.mux(self._stream.encode(None))


@contextmanager
def open_movie(
    target: Path | io.BytesIO, frame_rate: Fraction | float | int, size: tuple[int, int]
) -> Iterator[Movie]:
    """Write a movie at (height, width) `size` to a file of any name, or into memory.

    Pictures go to the file as they come, so a long movie fills no memory.
    """
    is_file = isinstance(target, Path)
    # FFmpeg reads the file once more to move its index to the front, which memory does not allow
    options = {"movflags": "faststart"} if is_file else {}
    rate = Fraction(frame_rate).limit_denominator(1001)
    with av.open(
        str(target) if is_file else target, "w", format="mp4", options=options
    ) as container:
        movie = Movie(container, rate, size)
        yield movie
        movie.finish()


def encode_mp4(
    frames: Iterable[UInt8[np.ndarray, "height width 3"]], frames_per_second: Fraction | int
) -> bytes:
    """Return frames of one size, whose sides are even, as a movie."""
    rest = iter(frames)
    first = next(rest, None)
    if first is None:
        raise ValueError("movie: got no frame, expected at least one")
    buffer = io.BytesIO()
    with open_movie(buffer, frames_per_second, (first.shape[0], first.shape[1])) as movie:
        for frame in chain([first], rest):
            movie.add(frame)
    return buffer.getvalue()


def even_size(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Return the size of a movie: even sides, the longer at most `longest`.

    >>> even_size((2160, 3840), 1920), even_size((99, 51), 1920)
    ((1080, 1920), (98, 50))
    """
    scale = min(longest / max(size), 1.0)
    height, width = (max(2 * int(side * scale / 2 + 1e-6), 2) for side in size)
    return height, width
