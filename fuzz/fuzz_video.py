"""Video files."""

import io

import av
import numpy as np

from fuzz.harness import Target, fuzz
from sam2_video.data.video_file import VideoFile


def _movie(container, codec):
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as file:
        stream = file.add_stream(codec, rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(4):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 50 * number, np.uint8), "rgb24")
            for packet in stream.encode(frame):
                file.mux(packet)
        for packet in stream.encode():
            file.mux(packet)
    return buffer.getvalue()


def _read(path):
    video = VideoFile(path)
    for index in (0, len(video) - 1, len(video) // 2):
        video[index]


if __name__ == "__main__":
    fuzz(
        "video",
        Target(
            _read,
            lambda: [
                _movie("mp4", "mpeg4"),
                _movie("avi", "mjpeg"),
                _movie("matroska", "mpeg4"),
                _movie("mp4", "libx264"),
            ],
            "video.mp4",
        ),
    )
