"""Frames come from a background thread: in order, few at a time, with their own errors."""

import threading
import time

import pytest
import torch

from sam2_video.inference.ahead import FramesAhead, VideoFrames, read_ahead
from tests.made_up import NUM_FRAMES, make_video


class Source(list):
    """Numbered frames that note when the background reads them: checks of types read too."""

    def __init__(self, length, broken=None):
        super().__init__(torch.full((3, 2, 2), i, dtype=torch.uint8) for i in range(length))
        self.broken = broken
        self.asked = []

    def __getitem__(self, index):
        if threading.current_thread().name.startswith("decoder"):
            self.asked.append(index)
            if index == self.broken:
                raise ValueError(f"frame {index} is damaged")
        return super().__getitem__(index)

    def stream(self):
        for index in range(len(self)):
            yield self[index]


def number(frame):
    return int(frame[0, 0, 0])


def decoders():
    return [t for t in threading.enumerate() if t.name.startswith("decoder")]


def wait_until(is_so):
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("ahead", [0, 1, 4, 50])
def test_every_order_gives_the_frames_that_were_asked_for(ahead):
    order = [3, 0, 1, 2, 3, 3, 8, 9, 9, 8, 7, 2, 5]
    with FramesAhead(Source(10), ahead) as frames:
        assert [number(frames[index]) for index in order] == order
        assert len(frames) == 10
        assert [number(frame) for frame in frames] == list(range(10))
        with pytest.raises(IndexError):
            frames[10]


@pytest.mark.parametrize(("is_reverse", "expected"), [(False, [4, 5, 6, 7]), (True, [4, 3, 2, 1])])
def test_the_next_frames_in_the_direction_are_read_and_no_more(is_reverse, expected):
    source = Source(10)
    with FramesAhead(source, 3, is_reverse=is_reverse) as frames:
        frames[4]
        wait_until(lambda: len(source.asked) == 4)
        time.sleep(0.05)
        assert source.asked == expected


def test_each_frame_is_read_once_also_where_the_video_turns():
    source = Source(8)
    with FramesAhead(source, 3) as frames:
        assert [number(frames[i]) for i in range(3, 8)] == [3, 4, 5, 6, 7]
        assert [number(frames[i]) for i in range(6, -1, -1)] == [6, 5, 4, 3, 2, 1, 0]
    assert sorted(source.asked[:5]) == [3, 4, 5, 6, 7]
    assert len(source.asked) <= 5 + 7


@pytest.mark.parametrize("ahead", [0, 4])
def test_an_error_comes_with_its_own_message_in_the_place_of_its_frame(ahead):
    with FramesAhead(Source(10, broken=3), ahead) as frames:
        assert [number(frames[index]) for index in range(3)] == [0, 1, 2]
        with pytest.raises(ValueError, match="frame 3 is damaged"):
            frames[3]
    stream = read_ahead(Source(10, broken=3).stream(), ahead)
    assert [number(next(stream)) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="frame 3 is damaged"):
        next(stream)


def test_a_stream_comes_whole_and_few_frames_ahead():
    source = Source(10)
    stream = read_ahead(source.stream(), 2)
    assert number(next(stream)) == 0
    wait_until(lambda: len(source.asked) == 3)
    time.sleep(0.05)
    assert source.asked == [0, 1, 2]
    assert [number(frame) for frame in stream] == list(range(1, 10))
    assert [number(frame) for frame in read_ahead(iter(()), 2)] == []


def test_closing_ends_the_thread():
    assert not decoders()
    stream = read_ahead(Source(10).stream(), 2)
    next(stream)
    with FramesAhead(Source(10), 2) as frames:
        frames[0]
        assert len(decoders()) == 2
    stream.close()
    assert not decoders()


def test_the_frames_of_a_video_are_decoded_when_asked_for():
    video = make_video()
    frames = VideoFrames(video)
    assert len(frames) == NUM_FRAMES
    assert video.read == []
    assert [number(frame) for frame in frames] == [0, 40, 80, 120, 160, 200]
    assert number(frames[-1]) == 200
    assert video.read == [0, 1, 2, 3, 4, 5, 5]
