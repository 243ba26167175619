"""Frames of video files by number: never one off, whatever the file, and clear of damage."""

import io
import random

import av
import numpy as np
import pytest
import torch

from sam2_video.data import video_file
from sam2_video.data.video_file import VideoFile
from tests.data.numbered import HEIGHT, WIDTH, read_number, rotate_clockwise, write_numbered

NUM_FRAMES = 40
VARYING = [sum(15 + (37 * step) % 80 for step in range(number)) for number in range(NUM_FRAMES)]
OPEN = {"x264-params": "open-gop=1:b-adapt=0"}
KINDS = {
    "b_frames.mp4": {"b_frames": 3, "options": {"x264-params": "b-adapt=0"}},
    "open_gop.mkv": {"b_frames": 3, "options": OPEN},
    "open_gop.mov": {"b_frames": 3, "options": OPEN},
    "refresh.mkv": {"options": {"x264-params": "intra-refresh=1"}},
    "varying.mp4": {"b_frames": 2, "times_ms": VARYING},
    "varying.mkv": {"b_frames": 2, "times_ms": VARYING},
    "fragments.mp4": {"b_frames": 2, "muxer": {"movflags": "frag_keyframe+empty_moov"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "lag-in-frames": "10"}},
    "vp8.webm": {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "10"}},
    "mpeg4.avi": {"codec": "mpeg4", "b_frames": 2},
    "h264.avi": {"b_frames": 3, "options": {"x264-params": "b-adapt=0"}},
    "motion_jpeg.avi": {"codec": "mjpeg"},
    "broadcast.ts": {"b_frames": 2},
    "moving.gif": {"codec": "gif"},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for name, how in KINDS.items():
        write_numbered(folder / name, num_frames=NUM_FRAMES, **how)
    return folder


def decode_all(path):
    with av.open(str(path)) as container:
        return [
            torch.from_numpy(frame.to_ndarray(format="rgb24", threads=1)).permute(2, 0, 1)
            for frame in container.decode(video=0)
        ]


@pytest.mark.parametrize("name", KINDS)
def test_frames_are_those_of_playing_the_file_in_any_order(files, name, monkeypatch):
    # few frames are kept, so that going back means to seek
    monkeypatch.setattr(video_file, "RECENT_BYTES", 5 * HEIGHT * WIDTH * 3 // 2)
    video, played = VideoFile(files / name), decode_all(files / name)
    assert len(video) == len(played) == NUM_FRAMES
    assert video.size == (HEIGHT, WIDTH)
    order = random.Random(0).choices(range(NUM_FRAMES), k=25)
    for index in [*range(0, NUM_FRAMES, 3), *range(NUM_FRAMES - 1, -1, -2), *order]:
        assert read_number(video[index]) == index
        assert torch.equal(video[index], played[index])


def test_frames_one_after_another_are_decoded_once(files, monkeypatch):
    video = VideoFile(files / "b_frames.mp4")
    monkeypatch.setattr(video, "_seek", lambda index: pytest.fail(f"sought frame {index}"))
    assert [read_number(frame) for frame in video] == list(range(NUM_FRAMES))


def test_a_far_frame_is_decoded_from_the_key_frame_before_it(files, monkeypatch):
    video = VideoFile(files / "b_frames.mp4")
    decoded = []
    decode_next = VideoFile._decode_next
    monkeypatch.setattr(VideoFile, "_decode_next", lambda self: decoded.append(decode_next(self)))
    assert read_number(video[39]) == 39
    assert len(decoded) <= 12


def test_memory_is_bounded(files, monkeypatch):
    monkeypatch.setattr(video_file, "RECENT_BYTES", 5 * HEIGHT * WIDTH * 3 // 2)
    video = VideoFile(files / "b_frames.mp4")
    assert max(len(video._recent) for _ in video) <= 5


def test_the_rate_of_a_varying_video_is_that_of_its_whole_length(files):
    seconds = (VARYING[-1] - VARYING[0]) / 1000
    for name in ("varying.mp4", "varying.mkv"):
        assert VideoFile(files / name).frame_rate == pytest.approx(39 / seconds, rel=1e-3)


def test_a_video_whose_length_nobody_wrote_down_is_read(tmp_path):
    class Pipe(io.RawIOBase):
        content = b""

        def write(self, data):
            self.content += bytes(data)
            return len(data)

        def writable(self):
            return True

    pipe = Pipe()
    write_numbered(pipe, b_frames=2, container_format="matroska", num_frames=20)
    path = tmp_path / "live.mkv"
    path.write_bytes(pipe.content)
    with av.open(str(path)) as container:
        assert container.duration is None
    assert [read_number(frame) for frame in VideoFile(path)] == list(range(20))


def test_a_recording_that_begins_between_key_frames_has_the_frames_that_are_shown(files, tmp_path):
    path = tmp_path / "joined_late.mkv"
    with av.open(str(files / "b_frames.mp4")) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in [packet for packet in source.demux(video=0) if packet.size][5:]:
            packet.stream = stream
            target.mux(packet)
    played = decode_all(path)
    video = VideoFile(path)
    assert len(video) == len(played) < NUM_FRAMES - 5
    for index in (0, 20, 5, len(played) - 1):
        assert read_number(video[index]) == read_number(played[index])


def test_a_phone_video_is_turned_upright(tmp_path):
    write_numbered(tmp_path / "phone.mp4", num_frames=3)
    played = decode_all(tmp_path / "phone.mp4")
    rotate_clockwise(tmp_path / "phone.mp4")
    video = VideoFile(tmp_path / "phone.mp4")
    assert video.size == (WIDTH, HEIGHT)
    upright = np.rot90(played[2].permute(1, 2, 0).numpy(), k=-1)
    assert np.array_equal(video[2].permute(1, 2, 0).numpy(), upright)


@pytest.mark.parametrize("share", [0.3, 0.9])
@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv", "cut.avi"])
def test_a_file_that_breaks_off_is_refused_with_the_frame(tmp_path, name, share):
    how = {"mp4": {"muxer": {"movflags": "faststart"}, "b_frames": 2}, "avi": {"codec": "mjpeg"}}
    write_numbered(tmp_path / name, **how.get(name[-3:], {}))
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(
        ValueError, match=rf"{name}: (breaks off|ends).* frame \d+.*cut off"
    ) as told:
        VideoFile(tmp_path / name)
    assert "\n" not in str(told.value)


def test_a_damaged_frame_is_named_when_it_is_asked_for(tmp_path):
    path = tmp_path / "damaged.mp4"
    write_numbered(path, key_every=50)
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][30]
        start, size = packet.pos, packet.size
    content = bytearray(path.read_bytes())
    content[start : start + size] = bytes(random.Random(0).choices(range(256), k=size))
    path.write_bytes(content)
    video = VideoFile(path)
    assert read_number(video[29]) == 29
    with pytest.raises(ValueError, match=r"damaged.mp4, frame 30: cannot be decoded"):
        video[30]


def test_what_is_no_video_is_told_in_a_line(tmp_path):
    (tmp_path / "text.mp4").write_text("hello\n" * 50)
    with pytest.raises(ValueError, match=r"text.mp4: cannot be read as a video"):
        VideoFile(tmp_path / "text.mp4")
    (tmp_path / "nothing.mp4").touch()
    with pytest.raises(ValueError, match=r"nothing.mp4: cannot be read as a video .* 0 bytes"):
        VideoFile(tmp_path / "nothing.mp4")
    with pytest.raises(FileNotFoundError, match=r"gone.mp4: no such video file"):
        VideoFile(tmp_path / "gone.mp4")


def test_a_video_without_frames_or_without_pictures_is_refused(tmp_path):
    with av.open(str(tmp_path / "empty.avi"), "w") as container:
        stream = container.add_stream("mjpeg", rate=24)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        container.start_encoding()
    with pytest.raises(ValueError, match=r"empty.avi: holds a video stream without a single frame"):
        VideoFile(tmp_path / "empty.avi")
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(ValueError, match=r"sound.mp4: holds no video stream"):
        VideoFile(tmp_path / "sound.mp4")


def test_there_is_no_frame_before_the_first_or_after_the_last(files):
    video = VideoFile(files / "b_frames.mp4")
    assert torch.equal(video[-1], video[NUM_FRAMES - 1])
    for index in (NUM_FRAMES, -NUM_FRAMES - 1):
        with pytest.raises(IndexError, match=r"expected 0 to 39"):
            video[index]


def test_real_videos_have_the_frames_that_lie_beside_them(shared_data):
    for path in sorted((shared_data / "sav/davis_as_sav").glob("*.mp4"))[:1]:
        video = VideoFile(path)
        images = sorted((path.parent / "JPEGImages_24fps" / path.stem).glob("*.jpg"))
        assert len(video) >= len(images) > 0
        played = decode_all(path)
        for index in (len(video) - 1, 7, len(video) // 2):
            assert torch.equal(video[index], played[index])
