"""Typed values that pass between data, model and training: clips, prompts and outputs.

Shapes use one vocabulary: `clips objects frames points hypotheses channels height width tokens`.
All objects of all clips of a batch lie on one ragged `objects` axis; `object_clip` says to which
clip each belongs, so no padding objects exist.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

BACKGROUND = 0
OBJECT = 1
IGNORE = 255


class PromptKind(StrEnum):
    """How an object is shown to the model on its prompt frame."""

    MASK = "mask"
    BOX = "box"
    POINT = "point"


@dataclass(frozen=True)
class FrameLevels:
    """What an image encoder says of frames, from coarse to fine.

    Its own pyramid, or, with `is_projected`, the finer two levels as the mask decoder takes them.
    """

    embedding: Float[Tensor, "images channels height width"]
    half: Float[Tensor, "images half_channels height_2 width_2"]
    quarter: Float[Tensor, "images quarter_channels height_4 width_4"]
    is_projected: bool

    @property
    def levels(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the three levels."""
        return self.embedding, self.half, self.quarter

    def change(self, act: Callable[[Tensor], Tensor]) -> "FrameLevels":
        """Return what becomes of each level."""
        return FrameLevels(*(act(level) for level in self.levels), is_projected=self.is_projected)

    @classmethod
    def join(cls, parts: Sequence["FrameLevels"]) -> "FrameLevels":
        """Return the frames of all parts, one part after another."""
        if len(parts) == 1:
            return parts[0]
        levels = zip(*(part.levels for part in parts), strict=True)
        return cls(*(torch.cat(level) for level in levels), is_projected=parts[0].is_projected)


@dataclass(frozen=True)
class Clip:
    """One training clip of one video as decoded: uint8, on the CPU, at its own size.

    Masks are at the size of the stored frames; `frames` may have been decoded smaller.
    `masks` holds 0 (background), 1 (the object) and 255 (ignore). Where `labelled` is False the
    frame says nothing about the object (no loss, no score); where it is True and the mask is
    empty, the object is absent. `prompt_frames[i]` is the first frame of the clip on which object
    i is visible. Everything random about the clip's prompts is drawn from `seed`. Where `levels`
    say what an encoder has made of the frames, `frames` have no pixels (height and width 0), and
    `variant` is the geometry in which they were encoded (0 = as filmed). `skipped` says why clips
    that were drawn before this one, for the same place in the epoch, cannot be read.
    """

    video_id: str
    frame_names: tuple[str, ...]
    frames: UInt8[Tensor, "frames 3 height width"]
    masks: UInt8[Tensor, "objects frames mask_height mask_width"]
    labelled: Bool[Tensor, "objects frames"]
    object_ids: tuple[int, ...]
    prompt_frames: tuple[int, ...]
    seed: int
    levels: FrameLevels | None = None
    variant: int | None = None
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClipSource:
    """Where a clip came from: what a log line or an error needs to name it.

    `variant` is that of a clip which was encoded beforehand; `skipped` are the clip's.
    """

    video_id: str
    frame_names: tuple[str, ...]
    object_ids: tuple[int, ...]
    seed: int
    variant: int | None = None
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClipBatch:
    """Several clips, uint8, each at its own size; resizing happens later, on the device.

    Clips of fewer frames than the longest are padded by repeating their last frame, unlabelled.
    With `levels`, of the frames of all clips, clip by clip, `frames` have no pixels. `last_frames`
    is noted where the batch leaves the host: see `find_last_frames`.
    """

    frames: tuple[UInt8[Tensor, "frames 3 _height _width"], ...]
    masks: tuple[UInt8[Tensor, "_objects frames _height _width"], ...]
    labelled: Bool[Tensor, "objects frames"]
    object_clip: Int[Tensor, " objects"]
    prompt_frames: tuple[int, ...]
    sources: tuple[ClipSource, ...]
    levels: FrameLevels | None = None
    last_frames: tuple[int, ...] | None = None

    @property
    def num_clips(self) -> int:
        """Return the number of clips."""
        return len(self.frames)

    @property
    def num_frames(self) -> int:
        """Return the number of frames of every clip, padding included."""
        return self.frames[0].shape[0]

    def find_last_frames(self) -> tuple[int, ...]:
        """Return each object's last labelled frame, -1 if it has none."""
        if self.last_frames is not None:
            return self.last_frames
        numbers = torch.arange(1, self.num_frames + 1, device=self.labelled.device)
        return tuple(((self.labelled * numbers).amax(1) - 1).tolist())

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "ClipBatch":
        """Return the batch with every tensor on `device`."""
        return replace(
            self,
            last_frames=self.find_last_frames(),
            frames=tuple(x.to(device, non_blocking=non_blocking) for x in self.frames),
            masks=tuple(x.to(device, non_blocking=non_blocking) for x in self.masks),
            labelled=self.labelled.to(device, non_blocking=non_blocking),
            object_clip=self.object_clip.to(device, non_blocking=non_blocking),
            levels=self.levels
            and self.levels.change(lambda level: level.to(device, non_blocking=non_blocking)),
        )

    def pin_memory(self) -> "ClipBatch":
        """Return the batch in page-locked memory, from which copies to a GPU are asynchronous."""
        return replace(
            self,
            frames=tuple(x.pin_memory() for x in self.frames),
            masks=tuple(x.pin_memory() for x in self.masks),
            labelled=self.labelled.pin_memory(),
            object_clip=self.object_clip.pin_memory(),
            levels=self.levels and self.levels.change(Tensor.pin_memory),
        )


@dataclass(frozen=True)
class ModelClips:
    """A batch at the model's input size, on the model's device.

    `pixels` are normalised RGB. `targets` holds 0, 1 and 255 like `Clip.masks`. Frames that were
    encoded beforehand have no pixels but `levels`, those of all clips, clip by clip.
    """

    pixels: Float[Tensor, "clips frames 3 height width"] | None
    targets: UInt8[Tensor, "objects frames height width"]
    labelled: Bool[Tensor, "objects frames"]
    object_clip: Int[Tensor, " objects"]
    prompt_frames: tuple[int, ...]
    seeds: tuple[int, ...]
    levels: FrameLevels | None = None


@dataclass(frozen=True)
class Prompt:
    """Prompts of one kind, with one number of points, for several objects on one frame.

    `objects` are rows of the ragged object axis. A mask prompt has `masks` (1 = object); points
    and boxes have `points`, (x, y) in pixels of the model's input, and `labels`: 1 positive, 0
    negative, 2 and 3 the two corners of a box, -1 padding (SAM 2's convention).
    """

    frame: int
    objects: tuple[int, ...]
    masks: Float[Tensor, "objects height width"] | None = None
    points: Float[Tensor, "objects points 2"] | None = None
    labels: Int[Tensor, "objects points"] | None = None


@dataclass(frozen=True)
class Corrections:
    """How what is said of several objects on one frame is corrected by clicks, one after another.

    `objects` are rows of the ragged object axis, `targets` their truth there. A click lies at the
    share `places` of the pixels of the region that it is drawn from: the errors of what was said
    last, or, with `is_from_truth`, the object.
    """

    frame: int
    objects: tuple[int, ...]
    targets: UInt8[Tensor, "objects height width"]
    places: Float[Tensor, "objects clicks"]
    is_from_truth: Bool[Tensor, "objects clicks"]


@dataclass(frozen=True)
class FrameOutput:
    """What the tracker says of some objects on one frame: of one that is corrected, several times.

    `mask_logits` are at the mask decoder's size (a quarter of the input): 3 hypotheses with 0 or
    1 point, else 1. `best` is the hypothesis that went to memory. With `is_given` the mask is
    the prompt itself, not a prediction.
    """

    frame: int
    objects: tuple[int, ...]
    mask_logits: Float[Tensor, "objects hypotheses height width"]
    iou_predictions: Float[Tensor, "objects hypotheses"]
    object_score_logits: Float[Tensor, " objects"]
    best: Int[Tensor, " objects"]
    pointers: Float[Tensor, "objects channels"]
    is_given: bool

    @property
    def best_mask_logits(self) -> Float[Tensor, "objects height width"]:
        """Return each object's chosen hypothesis."""
        rows = torch.arange(len(self.objects), device=self.best.device)
        return self.mask_logits[rows, self.best]


def send(values: Tensor, device: torch.device) -> Tensor:
    """Copy a small tensor from the host to `device` without waiting for the device.

    A plain `torch.tensor(rows, device="cuda")` stalls the host until the GPU has caught up.
    """
    if device.type == "cuda":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)
