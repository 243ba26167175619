"""The frames of a video file by their number: exact, cheap one after another, bounded in memory."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Lock

import av
import numpy as np
import torch
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream
from jaxtyping import UInt8
from torch import Tensor

from sam2_video.data.video_index import VideoIndex, damaged, open_stream, read_index

RECENT_BYTES = 64 * 2**20
"""Decoded frames that are kept: the ones before, which a video that runs in reverse asks for."""


class VideoFile(Sequence[Tensor]):
    """The frames of a video file, RGB, uint8, upright.

    Frame i is the i-th that playing the file from its start shows, at variable rates too. Asking
    for it decodes on from the frame before, or from the key frame at or before it. May be asked
    from several threads.
    """

    def __init__(self, path: Path, index: VideoIndex | None = None) -> None:
        """List the frames of the file.

        Args:
            path: The file.
            index: Its list of frames, where that is known.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is no video, has no frames, or is cut off.
        """
        self.path = path
        self._index = index or read_index(path)
        self._lock = Lock()
        self._stack = ExitStack()
        self._container: InputContainer
        self._stream: VideoStream
        self._decoder: Iterator[av.VideoFrame]
        self._next = self._settled = 0
        self._recent: OrderedDict[int, av.VideoFrame] = OrderedDict()
        self._restart()

    def __repr__(self) -> str:
        return f"VideoFile({str(self.path)!r}, {len(self)} frames)"

    def __len__(self) -> int:
        return self._index.num_frames

    @property
    def size(self) -> tuple[int, int]:
        """Return height and width of the frames as shown."""
        return self._index.size

    @property
    def frame_rate(self) -> float:
        """Return frames a second, over the whole video where the rate varies."""
        return self._index.frame_rate

    def __getitem__(self, index: int) -> UInt8[Tensor, "3 height width"]:  # pyright: ignore
        """Decode one frame.

        Raises:
            IndexError: there is no such frame.
            ValueError: the frame is damaged, missing, or of another size than the first.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.path}: got frame {index}; expected 0 to {len(self) - 1}")
        index %= len(self)
        with self._lock:
            frame = self._find(index)
        if frame.is_corrupt:
            raise ValueError(
                f"{self.path}, frame {index}: damaged; copy the file again, or let FFmpeg mend it: "
                "ffmpeg -i FILE mended.mp4"
            )
        # one thread: several wait longer for each other than the work takes
        pixels = np.rot90(frame.to_ndarray(format="rgb24", threads=1), self._index.rotation)
        if pixels.shape[:2] != self.size:
            raise ValueError(
                f"{self.path}, frame {index}: is {pixels.shape[0]}x{pixels.shape[1]} (height x "
                f"width), the frames before it are {self.size[0]}x{self.size[1]}; split the video"
            )
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))

    def _find(self, index: int) -> av.VideoFrame:
        if index not in self._recent:
            if not self._next <= index or self._index.last_key(index) > self._next:
                self._seek(index)
            while index not in self._recent:
                self._decode_next()
        return self._recent[index]

    def _restart(self) -> None:
        """Go back to the start of the file."""
        self._stack.close()
        self._container, self._stream = self._stack.enter_context(open_stream(self.path))
        self._decoder = self._container.decode(self._stream)
        self._recent.clear()
        self._next = self._settled = 0

    def _seek(self, index: int) -> None:
        """Go to the last place before a frame from which it is decoded as it should be."""
        times, key = self._index.times, self._index.last_key(index)
        self._recent.clear()
        while times is not None and key > 0:
            try:
                self._container.seek(times[key], stream=self._stream, backward=True)
                self._decoder = self._container.decode(self._stream)
                first = next(self._decoder, None)
            except FFmpegError:  # the file's own index is damaged, perhaps not its frames
                break
            found = None if first is None else self._index.find(first.pts)
            # a file may say that decoding starts at a frame, and its decoder only show later ones
            if first is not None and found is not None and found <= index:
                self._settled = key
                self._keep(found, first)
                return
            key = self._index.last_key(key - 1)
        self._restart()

    def _decode_next(self) -> None:
        """Decode the frame that follows, and check that it is the one that should."""
        try:
            frame = next(self._decoder, None)
        except FFmpegError as error:
            raise damaged(self.path, self._next, error) from error
        number = self._next
        if frame is not None and self._index.times is not None:
            found = self._index.find(frame.pts)
            number = -1 if found is None else found
            # after a seek, pictures before the key frame may lack what they refer to
            if self._next < number <= self._settled:
                self._next = number
        if frame is None or number != self._next:
            raise ValueError(
                f"{self.path}, frame {self._next} of {len(self)}: missing; copy the file again, or "
                "let FFmpeg mend it: ffmpeg -i FILE mended.mp4"
            )
        self._keep(number, frame)

    def _keep(self, number: int, frame: av.VideoFrame) -> None:
        """Keep a frame, and as many before it as the memory allows."""
        self._next = number + 1
        if number < self._settled:
            return
        self._recent[number] = frame
        num_bytes = sum(plane.buffer_size for plane in frame.planes)
        while len(self._recent) > max(RECENT_BYTES // num_bytes, 1):
            self._recent.popitem(last=False)
