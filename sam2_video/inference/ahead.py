"""Frames that a background thread decodes while the network is busy with those before them."""

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from jaxtyping import UInt8
from torch import Tensor

from sam2_video.data.video import Video
from sam2_video.model.propagation import FrameSequence

FRAMES_AHEAD = 4
"""How many decoded frames wait at most."""

_END = object()


class VideoFrames(Sequence[Tensor]):
    """The frames of a video, decoded as they are asked for."""

    def __init__(self, video: Video) -> None:
        self._video = video

    def __len__(self) -> int:
        return self._video.num_frames

    def __getitem__(self, index: int) -> UInt8[Tensor, "3 height width"]:  # pyright: ignore
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self._video.read_frame(index % len(self))


class FramesAhead(Sequence[Tensor]):
    """Frames that can be asked for in any order; the next ones in the same direction are ready.

    One thread reads them, one after another, and what it raises comes out where its frame is
    asked for. Use as a context: leaving it ends the thread.
    """

    def __init__(
        self, frames: FrameSequence, ahead: int = FRAMES_AHEAD, *, is_reverse: bool = False
    ) -> None:
        self._frames = frames
        self._ahead = ahead
        self._step = -1 if is_reverse else 1
        self._previous: int | None = None
        self._waiting: dict[int, Future[Tensor]] = {}
        self._thread = _start_thread()

    def __enter__(self) -> "FramesAhead":
        return self

    def __exit__(self, *exception: object) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> UInt8[Tensor, "3 height width"]:  # pyright: ignore
        if not 0 <= index < len(self):
            raise IndexError(index)
        if self._previous is not None and abs(index - self._previous) == 1:
            self._step = index - self._previous
        self._previous = index
        wanted = range(index, index + (self._ahead + 1) * self._step, self._step)
        for place in list(self._waiting):
            if place not in wanted:
                self._waiting.pop(place).cancel()
        for place in wanted:
            if 0 <= place < len(self) and place not in self._waiting:
                self._waiting[place] = self._thread.submit(self._frames.__getitem__, place)
        return self._waiting.pop(index).result()


def read_ahead(
    frames: Iterable[Tensor], ahead: int = FRAMES_AHEAD
) -> Generator[Tensor, None, None]:
    """Yield the frames of a stream, the next ones of which a background thread fetches.

    What the stream raises comes out in the place of its frame. Closing the generator ends the
    thread.
    """
    source = iter(frames)
    thread = _start_thread()
    waiting: deque[Future[object]] = deque()
    try:
        while True:
            while len(waiting) <= ahead:
                waiting.append(thread.submit(next, source, _END))
            frame = waiting.popleft().result()
            if not isinstance(frame, Tensor):
                assert frame is _END, f"a frame is a tensor, got {type(frame).__name__}"
                return
            yield frame
    finally:
        thread.shutdown(wait=True, cancel_futures=True)


def _start_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="decoder")
