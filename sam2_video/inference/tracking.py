"""Track objects through a whole video, decoding ahead: the way of every verb that predicts."""

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing

from jaxtyping import UInt8
from torch import Tensor

from sam2_video.inference.ahead import FRAMES_AHEAD, FramesAhead, read_ahead
from sam2_video.model.propagation import Direction, FrameSequence
from sam2_video.model.sam2 import SAM2Model
from sam2_video.model.stream import OBJECTS_AT_ONCE, ObjectPrompt, TrackedFrame


def track(
    model: SAM2Model,
    frames: FrameSequence | Iterable[UInt8[Tensor, "3 _height _width"]],
    prompts: Sequence[ObjectPrompt],
    *,
    is_memory_used: bool = True,
    start: int | None = None,
    direction: Direction = "forward",
    max_objects: int = OBJECTS_AT_ONCE,
    frames_ahead: int = FRAMES_AHEAD,
) -> Generator[TrackedFrame, None, None]:
    """Track as `SAM2Model.track` does, while a background thread decodes the next frames.

    Memory does not grow with the length of the video, as long as the caller lets go of the frames
    that it has been given. Closing the generator ends the thread.

    Args:
        model: in eval mode.
        frames: RGB, uint8: a sequence such as `VideoFrames`, or any stream.
        prompts: of any objects on any frames.
        is_memory_used: False shows what the network says with its memory emptied.
        start: see `SAM2Model.track`.
        direction: see `SAM2Model.track`.
        max_objects: how many objects run together.
        frames_ahead: how many decoded frames wait at most; 0 decodes when the frame is needed.

    Raises:
        ValueError: a prompt that is not on its frame, or for a frame that never came.
    """
    if isinstance(frames, Tensor):
        frames = frames.unbind()
    if isinstance(frames, Sequence):
        is_reverse = direction == "reverse"
        with FramesAhead(frames, frames_ahead, is_reverse=is_reverse) as decoded:
            yield from model.track(
                decoded,
                prompts,
                is_memory_used,
                start=start,
                direction=direction,
                max_objects=max_objects,
            )
        return
    with closing(read_ahead(frames, frames_ahead)) as stream:
        yield from model.track(
            stream,
            prompts,
            is_memory_used,
            start=start,
            direction=direction,
            max_objects=max_objects,
        )
