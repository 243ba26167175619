"""Which frames a video file holds, and when they are shown, mostly without decoding them."""

import bisect
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

# Codecs of which every packet shows exactly one frame: the list of packets is the list of frames.
# VP8 has packets that show nothing, MPEG-4's in AVI may hold two frames or none.
_ONE_FRAME_A_PACKET = frozenset(
    ("h264", "hevc", "av1", "vp9", "mjpeg", "gif", "png", "prores", "dnxhd", "ffv1", "rawvideo")
)
NUM_COMPARED = 16
"""Frames at the start whose times are compared with those of the packets."""
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpegts,mpeg,mpegvideo,m4v,asf,flv,ogg,mxf,nut,"
    "ivf,h264,hevc,mjpeg,dv"
)
_ONLY_THIS_FILE = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
_CUT = (
    "it was cut off while it was copied or recorded; copy it again, or keep what is whole: "
    "ffmpeg -i FILE -c copy whole.mp4"
)


@dataclass(frozen=True)
class VideoIndex:
    """The frames of a video file in the order in which they are shown.

    `size` is height and width as shown, that is after `rotation` (in quarter turns against the
    clock). With `times` (in the stream's unit, rising) a frame is told by its time, and `keys` are
    the frames from which decoding can start. Without, frames can only be counted from the first.
    """

    num_frames: int
    size: tuple[int, int]
    rotation: int
    frame_rate: float
    times: Sequence[int] | None
    keys: Sequence[int]

    def last_key(self, index: int) -> int:
        """Return the last frame up to `index` from which decoding can start."""
        return self.keys[max(bisect.bisect_right(self.keys, index) - 1, 0)]

    def find(self, time: int | None) -> int | None:
        """Return the frame that is shown at a time, or None where there is none."""
        if self.times is None or time is None:
            return None
        place = bisect.bisect_left(self.times, time)
        is_there = place < len(self.times) and self.times[place] == time
        return place if is_there else None


@dataclass(frozen=True)
class _Packets:
    """What the packets of a video say of its frames, in the order of the file."""

    times: Sequence[int | None]
    key_times: Sequence[int]
    num_all: int
    end: float
    has_durations: bool


@contextmanager
def open_stream(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video file at its main video stream; what FFmpeg says of it is told as a ValueError.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no video.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such video file")
    try:
        # a file may call itself mp4 and be a list of other files, or of addresses
        container = av.open(f"file:{path}", options=_ONLY_THIS_FILE, metadata_errors="replace")
    except FFmpegError as error:
        raise ValueError(
            f"{path}: cannot be read as a video ({error.strerror}; {path.stat().st_size} bytes): "
            "not a video, damaged, or cut off; copy or export it again"
        ) from error
    with container:
        stream = container.streams.best("video")
        if not isinstance(stream, VideoStream):
            raise ValueError(
                f"{path}: holds no video stream (only sound, or a recording that never began); "
                "expected frames"
            )
        # PyAV has none for a codec that FFmpeg does not know
        if stream.codec_context is None:
            raise ValueError(
                f"{path}: its pictures are of a codec that FFmpeg does not know (damaged, or newer "
                "than this FFmpeg?); export it as H.264"
            )
        # several threads a picture, but no picture ahead: an error belongs to the frame asked for
        stream.thread_type = "SLICE"
        yield container, stream


def read_index(path: Path) -> VideoIndex:
    """List the frames of a video file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no video, has no frames, or ends before its last frame.
    """
    with open_stream(path) as (container, stream):
        packets = _read_packets(path, container, stream)
        times = _trusted_times(container, stream, packets)
        _check_whole(path, container, stream, packets)
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        unit = float(stream.time_base or 0)
    num_compared = NUM_COMPARED if times is not None else None
    with open_stream(path) as (container, stream):
        shown = _decode(path, container, stream)
        first = next(shown, None)
        if first is None:
            raise ValueError(f"{path}: holds no frame that can be decoded; export it again")
        found = [first.pts, *(frame.pts for frame in islice(shown, num_compared))]
        if times is not None and found != list(times[: len(found)]):
            found += [frame.pts for frame in shown]
            times = None
    rotation = round(first.rotation / 90) % 4
    size = (first.height, first.width) if rotation % 2 == 0 else (first.width, first.height)
    if times is None:
        return VideoIndex(len(found), size, rotation, rate, None, (0,))
    if len(times) > 1:
        rate = (len(times) - 1) / ((times[-1] - times[0]) * unit)
    keys = sorted({bisect.bisect_left(times, time) for time in packets.key_times} | {0})
    return VideoIndex(len(times), size, rotation, rate, times, keys)


def _decode(path: Path, container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
    number = 0
    try:
        for frame in container.decode(stream):
            yield frame
            number += 1
    except FFmpegError as error:
        raise damaged(path, number, error) from error


def damaged(path: Path, index: int, error: FFmpegError) -> ValueError:
    """Return what to tell of a frame that cannot be decoded."""
    return ValueError(
        f"{path}, frame {index}: cannot be decoded ({error.strerror}); copy the file again, or "
        "let FFmpeg mend it: ffmpeg -i FILE mended.mp4"
    )


def _read_packets(path: Path, container: InputContainer, stream: VideoStream) -> _Packets:
    times: list[int | None] = []
    key_times: list[int] = []
    num_all, end, has_durations = 0, 0.0, True
    for packet in _whole_packets(path, container, stream):
        num_all += 1
        has_durations &= bool(packet.duration)
        if packet.pts is not None:
            end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if packet.is_discard:  # an edit list hides the frame
            continue
        times.append(packet.pts)
        if packet.is_keyframe and packet.pts is not None:
            key_times.append(packet.pts)
    if not times:
        raise ValueError(f"{path}: holds a video stream without a single frame; export it again")
    return _Packets(times, key_times, num_all, end, has_durations)


def _whole_packets(
    path: Path, container: InputContainer, stream: VideoStream
) -> Iterator[av.Packet]:
    number = 0
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                raise ValueError(
                    f"{path}: breaks off within frame {number} in the order of the file: {_CUT}"
                )
            if packet.size:  # the last one only tells the decoder of the end
                yield packet
                number += 1
    except FFmpegError as error:
        raise damaged(path, number, error) from error


def _trusted_times(
    container: InputContainer, stream: VideoStream, packets: _Packets
) -> Sequence[int] | None:
    """Return the times of the frames in order, where packets tell them."""
    times = sorted(time for time in packets.times if time is not None)
    is_complete = len(times) == len(packets.times) and len(set(times)) == len(times)
    is_simple = stream.codec_context.codec.canonical_name in _ONE_FRAME_A_PACKET
    # AVI holds no times: FFmpeg makes them up, and otherwise for pictures that refer to later ones
    is_guessed = container.format.name == "avi" and len(packets.key_times) < len(times)
    return times if is_complete and is_simple and packets.key_times and not is_guessed else None


def _check_whole(
    path: Path, container: InputContainer, stream: VideoStream, packets: _Packets
) -> None:
    """Refuse a file that holds fewer frames, or less time, than it says of itself.

    Raises:
        ValueError: naming the first frame that is missing.
    """
    if "mp4" in container.format.name and packets.num_all < stream.frames:
        raise ValueError(f"{path}: ends before frame {packets.num_all} of {stream.frames}: {_CUT}")
    promised = _promised_end(container, stream)
    shown = sorted(time for time in packets.times if time is not None)
    if promised is None or len(shown) < 2:
        return
    unit = float(stream.time_base or 0)
    longest = unit * max(later - earlier for earlier, later in pairwise(shown))
    # half a frame is rounding; of frames whose length is unknown the last one may be any
    if promised - packets.end > (0.5 if packets.has_durations else 1.5) * longest:
        raise ValueError(
            f"{path}: ends after frame {len(shown) - 1}, at {packets.end:.2f} of {promised:.2f} s: "
            f"{_CUT}"
        )


def _promised_end(container: InputContainer, stream: VideoStream) -> float | None:
    """Return when the video ends according to Matroska's header, in seconds."""
    if "matroska" not in container.format.name:
        return None
    tag = stream.metadata.get("DURATION", "")
    if re.fullmatch(r"\d+:\d\d:\d\d(\.\d+)?", tag):
        hours, minutes, seconds = tag.split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    # of the longest stream: tells of this one where it is the only one
    if container.duration is None or len(container.streams) > 1:
        return None
    return container.duration / av.time_base
