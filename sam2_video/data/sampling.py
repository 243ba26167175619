"""Draw training clips: which frames and objects, as a pure function of a seed sequence."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int

from sam2_video.data.video import Video


@dataclass(frozen=True)
class ClipSettings:
    """How clips are cut from videos; the fields are those of the configuration.

    `frame_stride_schedule` holds, from the progress of training on that is named, the largest
    stride in place of the one in `frame_stride`.
    """

    length: int
    frame_stride: tuple[int, int]
    reverse_probability: float
    max_objects: int
    frame_stride_schedule: tuple[tuple[float, int], ...] = ()
    paste_probability: float = 0.0
    still_images: Literal["repeat", "motion", "single"] = "repeat"

    def stride_at(self, progress: float) -> tuple[int, int]:
        """Return the smallest and the largest stride when a share of training is done.

        >>> settings = ClipSettings(5, (2, 3), 0.5, 3, ((0.0, 1), (0.5, 8)))
        >>> settings.stride_at(0.2), settings.stride_at(0.5)
        ((1, 1), (2, 8))
        """
        smallest, largest = self.frame_stride
        for start, value in self.frame_stride_schedule:
            if progress >= start:
                largest = value
        return min(smallest, largest), largest

    @property
    def largest_stride(self) -> int:
        """Return the largest stride of the whole training."""
        starts = (0.0, *(start for start, _ in self.frame_stride_schedule))
        return max(self.stride_at(start)[1] for start in starts)


@dataclass(frozen=True)
class ClipPlan:
    """The frames and objects of a clip, and the seed of everything drawn for it later.

    With a `motion_seed` the frames are one still image, moved as `draw_motion` says.
    """

    frames: tuple[int, ...]
    object_ids: tuple[int, ...]
    seed: int
    motion_seed: int | None = None


def is_still(video: Video) -> bool:
    """Say whether only one frame of a video is labelled."""
    return len(video.labelled_frames) == 1


def draw_clip(
    video: Video,
    settings: ClipSettings,
    sequence: np.random.SeedSequence,
    progress: float = 0.0,
) -> ClipPlan:
    """Draw a clip of a video that has objects.

    The clip starts on a frame, evenly chosen, on which an object is visible. A stride is drawn
    from the range and a direction by `reverse_probability`. Starts from which the clip fits into
    the video and meets a second labelled frame are preferred: where there is none, other strides
    are tried, down to 1; then starts from which it only fits; and where the video is too short
    for any, the clip runs at stride 1 to the video's end and back again (0 1 2 1 0 1 ...).
    Of the objects visible in the clip, each is equally likely to be among the `max_objects`.
    A video of one labelled frame is repeated so, or follows `still_images`.

    Args:
        video: The video.
        settings: How to cut.
        sequence: Of this clip; everything drawn follows from it. It is left as it was.
        progress: The share of training that is done.
    """
    clip_seed, plan_seed, motion_seed = branches(sequence, 0, 3)
    generator = np.random.default_rng(plan_seed)
    moves = settings.still_images == "motion" and is_still(video)
    if settings.still_images != "repeat" and is_still(video):
        frames = _starts(video) * (settings.length if moves else 1)
    else:
        frames = _draw_frames(video, settings, settings.stride_at(progress), generator)
    visible = sorted({object_id for i in frames for object_id in video.visible_objects(i)})
    if len(visible) > settings.max_objects:
        chosen = generator.choice(len(visible), settings.max_objects, replace=False)
        visible = [visible[i] for i in sorted(chosen)]
    motion = _as_number(motion_seed) if moves else None
    return ClipPlan(frames, tuple(visible), _as_number(clip_seed), motion)


def branches(
    sequence: np.random.SeedSequence, first: int, count: int
) -> list[np.random.SeedSequence]:
    """Return branches of a seed sequence by their numbers; `spawn` would count its calls."""
    return [
        np.random.SeedSequence(sequence.entropy, spawn_key=(*sequence.spawn_key, number))
        for number in range(first, first + count)
    ]


def _as_number(sequence: np.random.SeedSequence) -> int:
    # 63 bits: what every torch.Generator takes.
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def _draw_frames(
    video: Video,
    settings: ClipSettings,
    frame_stride: tuple[int, int],
    generator: np.random.Generator,
) -> tuple[int, ...]:
    labelled = np.zeros(video.num_frames, dtype=bool)
    labelled[list(video.labelled_frames)] = True
    starts = np.array(_starts(video))
    direction = -1 if generator.random() < settings.reverse_probability else 1
    strides = _strides(frame_stride, generator)
    paths = _candidates(starts, direction, strides, settings.length, labelled)
    return tuple(int(i) for i in generator.choice(paths, axis=0))


def _starts(video: Video) -> tuple[int, ...]:
    """Return the frames on which an object is visible."""
    starts = tuple(i for i in video.labelled_frames if video.visible_objects(i))
    if not starts:
        raise ValueError(
            f"video {video.video_id}: no object is visible on any labelled frame, so no clip can "
            "be drawn; annotate it or remove it"
        )
    return starts


def _strides(frame_stride: tuple[int, int], generator: np.random.Generator) -> list[int]:
    """Return the strides in the order in which they are tried: the range shuffled, then smaller."""
    low, high = frame_stride
    shuffled = generator.permutation(np.arange(low, high + 1)).tolist()
    return [*shuffled, *range(low - 1, 0, -1)]


def _candidates(
    starts: Int[np.ndarray, " starts"],
    direction: int,
    strides: list[int],
    length: int,
    labelled: Bool[np.ndarray, " frames"],
) -> Int[np.ndarray, "clips length"]:
    """Return the clips of the first stride, in the order of preference, that has any."""
    options = list(_straight_clips(starts, direction, strides, length, len(labelled)))
    for clips in options:
        supervised = clips[_is_supervised(clips, labelled)]
        if len(supervised):
            return supervised
    for clips in options:
        if len(clips):
            return clips
    steps = direction * np.arange(length)
    clips = _reflect(starts[:, None] + steps, len(labelled))
    supervised = clips[_is_supervised(clips, labelled)]
    return supervised if len(supervised) else clips


def _straight_clips(
    starts: Int[np.ndarray, " starts"],
    direction: int,
    strides: list[int],
    length: int,
    num_frames: int,
) -> Iterator[Int[np.ndarray, "clips length"]]:
    for stride in strides:
        clips = starts[:, None] + direction * stride * np.arange(length)
        yield clips[(clips[:, -1] >= 0) & (clips[:, -1] < num_frames)]


def _is_supervised(
    clips: Int[np.ndarray, "clips length"], labelled: Bool[np.ndarray, " frames"]
) -> Bool[np.ndarray, " clips"]:
    """Say which clips meet a labelled frame other than the one they start on."""
    return (labelled[clips] & (clips != clips[:, :1])).any(axis=1)


def _reflect(
    positions: Int[np.ndarray, "clips length"], num_frames: int
) -> Int[np.ndarray, "clips length"]:
    """Fold positions beyond a video's ends back into it."""
    if num_frames == 1:
        return np.zeros_like(positions)
    period = 2 * (num_frames - 1)
    folded = positions % period
    return np.where(folded < num_frames, folded, period - folded)


def can_be_supervised(video: Video, settings: ClipSettings) -> bool:
    """Say whether any clip can hold two labelled frames, which learning to track needs."""
    if settings.still_images == "motion" and is_still(video):
        return settings.length > 1
    labelled = np.zeros(video.num_frames, dtype=bool)
    labelled[list(video.labelled_frames)] = True
    strides = range(1, settings.largest_stride + 1)
    distances = {stride * step for stride in strides for step in range(1, settings.length)}
    return any(bool((labelled[:-gap] & labelled[gap:]).any()) for gap in distances)
