"""The way through a video: in which order frames are visited, and when prompts are shown."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from sam2_video.model.heads import FrameFeatures
from sam2_video.model.object_prompt import ObjectPrompt
from sam2_video.model.rounds import sort_by_frame
from sam2_video.model.stream import StreamTracker, TrackedFrame

Direction = Literal["forward", "reverse", "both"]
Encode = Callable[[Tensor], FrameFeatures]
"""From a frame as decoded (uint8, any size) to its features."""


@runtime_checkable
class FrameSequence(Protocol):
    """Frames that can be asked for in any order; each time may mean decoding."""

    def __len__(self) -> int:
        """Return the number of frames."""
        ...

    def __getitem__(self, index: int, /) -> Tensor:
        """Return a frame as decoded: uint8, RGB."""
        ...

    def __iter__(self) -> Iterator[Tensor]:
        """Yield the frames one after another."""
        ...


def track_stream(
    tracker: StreamTracker,
    frames: Iterable[Tensor],
    prompts: Sequence[ObjectPrompt],
    encode: Encode,
) -> Iterator[TrackedFrame]:
    """Track through frames that come once, one after another; a prompt counts from its frame on.

    Raises:
        ValueError: a prompt for a frame that never came.
    """
    waiting = sort_by_frame(prompts)
    num_seen = 0
    for index, frame in enumerate(frames):
        yield _visit(tracker, index, frame, waiting.pop(index, ()), encode)
        num_seen += 1
    _check_all_come(waiting, num_seen)


def track_video(
    tracker: StreamTracker,
    frames: FrameSequence,
    prompts: Sequence[ObjectPrompt],
    encode: Encode,
    start: int | None,
    direction: Direction,
) -> Iterator[TrackedFrame]:
    """Track through frames that can be asked for in any order; every frame knows all prompts.

    An object's prompts on other frames than its start are shown before anything is tracked. The
    tracker has the same `start`; for "both" it is one that `will_turn`.

    Raises:
        ValueError: a prompt, or the start, lies outside the video.
    """
    by_frame = sort_by_frame(prompts)
    _check_all_come(by_frame, len(frames))
    if start is not None and not 0 <= start < len(frames):
        last = len(frames) - 1
        raise ValueError(f"start: got {start}; expected a frame of the video, 0 to {last}")
    starts = _starts(by_frame, start)
    at_start: dict[int, list[ObjectPrompt]] = {}
    for index, given in by_frame.items():
        at_start[index] = [prompt for prompt in given if starts[prompt.object_id] == index]
        elsewhere = [prompt for prompt in given if starts[prompt.object_id] != index]
        if elsewhere:
            frame = frames[index]
            with torch.inference_mode():
                tracker.condition(index, encode(frame), _size(frame), elsewhere)
    last = max(starts.values(), default=0)
    for number, indices in enumerate(_passes(direction, start or 0, last, len(frames))):
        if number:
            tracker = tracker.turn()
        for index in indices:
            yield _visit(tracker, index, frames[index], at_start.pop(index, ()), encode)


def _passes(direction: Direction, first: int, last: int, num_frames: int) -> list[range]:
    """Return the frames of each pass: forward from `first`, in reverse from `last`."""
    forward, reverse = range(first, num_frames), range(last, -1, -1)
    if direction == "forward":
        return [forward]
    if direction == "reverse":
        return [reverse]
    return [forward, reverse] if last > 0 else [forward]


def _starts(by_frame: Mapping[int, Sequence[ObjectPrompt]], start: int | None) -> dict[int, int]:
    """Return the frame from which each object is tracked; `by_frame` has rising frames."""
    starts: dict[int, int] = {}
    for frame, given in by_frame.items():
        for prompt in given:
            starts.setdefault(prompt.object_id, frame if start is None else start)
    return starts


def _visit(
    tracker: StreamTracker,
    index: int,
    frame: Tensor,
    prompts: Sequence[ObjectPrompt],
    encode: Encode,
) -> TrackedFrame:
    # not around the loop: a generator would leave the mode on for whoever asked
    with torch.inference_mode():
        features = encode(frame) if prompts or tracker.reads(index) else None
        return tracker.step(index, features, _size(frame), prompts)


def _size(frame: Tensor) -> tuple[int, int]:
    height, width = frame.shape[-2:]
    return height, width


def _check_all_come(frames: Iterable[int], num_frames: int) -> None:
    """Raise ValueError for prompts on frames that the video does not have."""
    never = sorted(frame for frame in frames if not 0 <= frame < num_frames)
    if never:
        raise ValueError(f"prompts for frames {never}: the video has {num_frames} frames")
