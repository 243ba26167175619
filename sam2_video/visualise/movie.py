"""Overlays of a video as an mp4: panels side by side, each with its masks."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from sam2_video.visualise.sheet import INK, PAPER, SOFT_INK, load_font

TEXT, LINE, GAP = 17, 26, 8
QUALITY = "25"  # of x264: 18 is near lossless, 28 is coarse


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


def encode_mp4(
    frames: Iterable[UInt8[np.ndarray, "height width 3"]], frames_per_second: Fraction | int
) -> bytes:
    """Return frames of one size, whose sides are even, as an H.264 movie that browsers play."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = None
        for frame in frames:
            if stream is None:
                stream = container.add_stream("libx264", rate=frames_per_second)
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = "yuv420p"
                # how many threads there are must not show in the file
                stream.options = {"crf": QUALITY, "preset": "veryfast", "threads": "1"}
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        if stream is None:
            raise ValueError("movie: got no frame, expected at least one")
        container.mux(stream.encode(None))
    return buffer.getvalue()
