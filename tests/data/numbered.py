"""Video files whose frames carry their number in their pixels."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from torch import Tensor

HEIGHT, WIDTH = 64, 96
NUM_BITS = 6
BLOCK = WIDTH // NUM_BITS


def draw_number(number: int) -> np.ndarray:
    """Return a frame that shows a number as black and white blocks, in its upper half."""
    noise = np.random.default_rng(number).integers(90, 110, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    for bit in range(NUM_BITS):
        noise[: HEIGHT // 2, bit * BLOCK : (bit + 1) * BLOCK] = 255 * (number >> bit & 1)
    return noise


def read_number(frame: Tensor) -> int:
    """Return the number that a frame (3, height, width) shows."""
    rows = frame.float().mean(0)[: HEIGHT // 2]
    means = [rows[:, bit * BLOCK : (bit + 1) * BLOCK].mean() for bit in range(NUM_BITS)]
    return sum(int(mean > 128) << bit for bit, mean in enumerate(means))


def write_numbered(
    target,
    codec: str = "libx264",
    num_frames: int = 40,
    *,
    times_ms=None,
    b_frames: int = 0,
    options=None,
    muxer=None,
    container_format: str | None = None,
    key_every: int = 12,
):
    """Write frames 0, 1, ... to a path or a file; `times_ms` makes the rate vary."""
    pixel_format = {"gif": "rgb8", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
    target = str(target) if isinstance(target, Path) else target
    with av.open(target, "w", format=container_format, options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=24, options=options or {})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixel_format
        if codec not in ("gif", "mjpeg"):
            stream.gop_size = key_every
            stream.codec_context.max_b_frames = b_frames
        base = Fraction(1, 24) if times_ms is None else Fraction(1, 1000)
        stream.codec_context.time_base = base
        for number in range(num_frames):
            frame = av.VideoFrame.from_ndarray(draw_number(number), format="rgb24")
            frame.pts = number if times_ms is None else times_ms[number]
            frame.time_base = base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def rotate_clockwise(path: Path) -> None:
    """Write into an mp4 that its frames are to be turned by 90 degrees, as phones do."""
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 40  # past version, times, ids and layer: the matrix
    one = (1 << 16).to_bytes(4, "big")
    minus_one = (-(1 << 16)).to_bytes(4, "big", signed=True)
    zero = bytes(4)
    content[start : start + 20] = zero + one + zero + minus_one + zero
    path.write_bytes(content)
