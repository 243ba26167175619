"""The way through a video: directions, starts, and which prompts a frame knows."""

from dataclasses import replace

import pytest
import torch

from sam2_video.model import stream
from sam2_video.model.object_prompt import ObjectPrompt
from sam2_video.model.sam2 import SAM2Model
from tests.model.micro import (
    micro_model,
    relative,
    squares,
    video,
)
from tests.model.tracked import MIXED, assert_alike, said


@pytest.fixture(scope="module")
def model() -> SAM2Model:
    return micro_model()


@pytest.fixture
def exact(monkeypatch) -> None:
    """Keep memory in fp32: rounded to bf16, the last digit of fp32 decides about the third."""
    monkeypatch.setattr(stream, "MEMORY_DTYPE", torch.float32)


AGAIN = [
    ObjectPrompt(3, 4, mask=squares(4)[3]),
    ObjectPrompt(3, 4, box=(20.0, 20.0, 50.0, 60.0)),
    ObjectPrompt(3, 4, points=[(50.0, 50.0)], labels=[1]),
]


@pytest.mark.parametrize("again", AGAIN)
@pytest.mark.usefixtures("exact")
def test_of_a_stream_a_second_prompt_counts_from_its_frame_on_and_for_its_object_alone(
    model, again
):
    frames = video(7)
    once = said(list(model.track(iter(frames), MIXED)))
    twice = said(list(model.track(iter(frames), [*MIXED, again])))
    assert twice.keys() == once.keys()
    for (name, index), value in twice.items():
        is_concerned = name == 3 and index >= 4
        assert (relative(value, once[name, index]) > 1e-4) == is_concerned, (name, index)


@pytest.mark.parametrize("again", AGAIN)
@pytest.mark.usefixtures("exact")
def test_of_a_list_a_second_prompt_counts_on_the_frames_before_it_too(model, again):
    frames = video(7)
    once = said(list(model.track(frames, MIXED)))
    twice = said(list(model.track(frames, [*MIXED, again])))
    assert twice.keys() == once.keys()
    for (name, index), value in twice.items():
        is_concerned = name == 3 and index >= 1
        assert (relative(value, once[name, index]) > 1e-4) == is_concerned, (name, index)


@pytest.mark.parametrize("is_memory_used", [True, False])
@pytest.mark.usefixtures("exact")
def test_a_stream_and_a_list_are_tracked_alike_where_no_object_is_prompted_twice(
    model, is_memory_used
):
    # of a shorter video the age of pointers counts by its length, which a stream does not have
    frames = video(16)
    listed = said(list(model.track(frames, MIXED, is_memory_used)))
    assert_alike(said(list(model.track(iter(frames), MIXED, is_memory_used))), listed)
    assert_alike(said(list(model.track(torch.stack(frames), MIXED, is_memory_used))), listed)


@pytest.mark.usefixtures("exact")
def test_the_first_prompt_is_remembered_after_the_second(model):
    frames = video(7)
    again = AGAIN[0]
    after_box = said(list(model.track(iter(frames), [MIXED[1], again])))
    alone = said(list(model.track(iter(frames), [again])))
    assert relative(after_box[3, 4], alone[3, 4]) < 1e-6
    assert relative(after_box[3, 5], alone[3, 5]) > 1e-4


def test_reverse_tracks_from_the_first_prompt_down_to_frame_0(model):
    prompts = [replace(MIXED[0], frame=3), replace(MIXED[1], frame=1)]
    tracked = list(model.track(video(6), prompts, direction="reverse"))
    assert [frame.index for frame in tracked] == [3, 2, 1, 0]
    assert [frame.object_ids for frame in tracked] == [(7,), (7,), (3, 7), (3, 7)]


@pytest.mark.usefixtures("exact")
def test_reverse_is_forward_through_the_video_played_backwards(model):
    frames = video(12)
    forward = said(list(model.track(frames[::-1], MIXED[:2])))
    prompts = [replace(prompt, frame=11) for prompt in MIXED[:2]]
    reverse = said(list(model.track(frames, prompts, direction="reverse")))
    assert_alike(reverse, {(name, 11 - index): x for (name, index), x in forward.items()})


def test_both_ways_is_forward_and_then_reverse_with_what_was_seen(model):
    frames = video(9)
    prompts = [replace(MIXED[0], frame=4)]
    forward = list(model.track(frames, prompts))[4:]
    reverse = list(model.track(frames, prompts, direction="reverse"))
    both = list(model.track(frames, prompts, direction="both"))
    assert [frame.index for frame in both] == [*range(9), *range(4, -1, -1)]
    assert_alike(said(both[4:9]), said(forward))
    there, alone = said(both[9:]), said(reverse)
    assert relative(there[7, 4], alone[7, 4]) < 1e-6
    # the pass back reads the frames after the start
    assert relative(there[7, 3], alone[7, 3]) > 1e-4


def test_both_ways_from_the_first_frame_is_forward(model):
    both = list(model.track(video(3), MIXED[:1], direction="both"))
    assert [frame.index for frame in both] == [0, 1, 2]


def test_a_common_start_tracks_objects_before_they_are_prompted(model):
    prompts = [MIXED[0], replace(MIXED[1], frame=3)]
    tracked = list(model.track(video(5), prompts, start=1))
    assert [frame.index for frame in tracked] == [1, 2, 3, 4]
    assert all(frame.object_ids == (3, 7) for frame in tracked)


def test_a_frame_is_encoded_once_unless_it_is_shown_ahead_of_its_turn(model, monkeypatch):
    encoded = []
    encode = SAM2Model.encode
    monkeypatch.setattr(
        SAM2Model, "encode", lambda self, pixels: encoded.append(pixels) or encode(self, pixels)
    )
    late = replace(MIXED[0], frame=2)
    list(model.track(video(5), [late]))
    assert len(encoded) == 3
    encoded.clear()
    list(model.track(video(5), [late, replace(late, frame=4)]))
    # frames 4, 2 and 3: of frame 4, shown ahead, all is known
    assert len(encoded) == 3
    encoded.clear()
    list(model.track(video(5), [late, MIXED[1], replace(late, frame=4)]))
    assert len(encoded) == 6


@pytest.mark.parametrize("frame", [-1, 2, 9])
def test_a_prompt_for_a_frame_that_never_comes_is_refused(model, frame):
    prompts = [MIXED[0], ObjectPrompt(1, frame, box=(0.0, 0.0, 5.0, 5.0))]
    message = rf"prompts for frames \[{frame}\]: the video has 2 frames"
    with pytest.raises(ValueError, match=message):
        list(model.track(video(2), prompts))
    with pytest.raises(ValueError, match=message):
        list(model.track(iter(video(2)), prompts))


def test_a_prompt_that_never_comes_is_refused_before_any_frame_where_the_length_is_known(model):
    tracked = model.track(video(2), [replace(MIXED[0], frame=5)])
    with pytest.raises(ValueError, match=r"prompts for frames \[5\]: the video has 2 frames"):
        next(tracked)


@pytest.mark.parametrize("settings", [{"start": 0}, {"direction": "reverse"}])
def test_a_stream_has_no_start_and_no_direction_of_its_own(model, settings):
    with pytest.raises(ValueError, match=r"start, direction: got .* expected none, or frames"):
        model.track(iter(video(2)), MIXED[:1], **settings)


@pytest.mark.parametrize("start", [-1, 2])
def test_a_start_outside_the_video_is_refused(model, start):
    message = rf"start: got {start}; expected a frame of the video, 0 to 1"
    with pytest.raises(ValueError, match=message):
        list(model.track(video(2), MIXED[:1], start=start))
