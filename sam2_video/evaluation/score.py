"""Track the objects of one video and score them: the code of `evaluate` and of validation."""

import math
import time
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import torch
from jaxtyping import Bool
from torch import Tensor

from sam2_video.data.folder import FolderVideo
from sam2_video.data.video import Video
from sam2_video.evaluation.prompting import first_appearance_prompts
from sam2_video.inference import FrameMasks, MaskLayout, MaskWriter, VideoFrames, track
from sam2_video.metrics import ObjectScores, ObjectSummary, Scores, mean_scores
from sam2_video.model.sam2 import SAM2Model
from sam2_video.model.stream import OBJECTS_AT_ONCE
from sam2_video.structures import OBJECT, PromptKind

_READ_TOGETHER = 16
"""Objects whose true masks are held at once: those of a 4K frame take 8 MB each."""


@dataclass(frozen=True)
class VideoScore:
    """The scores of one video, at its own size.

    `frames[object_id]` maps the index of each annotated frame after the object's prompt to J, for
    curves over time; `summaries` are the scores of the objects over the frames that count, of
    which the means are made. `masks[frame]` keeps what was predicted on the frames that were asked
    for. `num_tracked` frames took `seconds`, from reading to scoring.
    """

    video_id: str
    frames: dict[int, dict[int, float]]
    num_frames: int
    seconds: float
    masks: dict[int, Bool[Tensor, "objects height width"]] = field(default_factory=dict)
    summaries: tuple[ObjectSummary, ...] = ()
    num_tracked: int = 0

    @property
    def objects(self) -> dict[int | str, float]:
        """Return each object's mean J; objects without a frame that counts are left out."""
        return {summary.object_id: summary.j for summary in self.summaries}

    @property
    def scores(self) -> Scores:
        """Return the means over objects, NaN where none can be scored: J&F, J, F and others."""
        return mean_scores(self.summaries)

    @property
    def mean(self) -> float:
        """Return the mean J over objects; NaN where none can be scored."""
        return self.scores.j


def choose_layout(video: Video) -> MaskLayout:
    """Return the layout of the truth: label maps, or masks of objects that may overlap."""
    return "davis" if isinstance(video, FolderVideo) else "objects"


def evaluate_video(
    model: SAM2Model,
    video: Video,
    kind: PromptKind = PromptKind.MASK,
    num_points: int = 1,
    is_memory_used: bool = True,
    keep_frames: Collection[int] = (),
    *,
    clicks: int = 0,
    layout: MaskLayout | None = None,
    count_first_and_last: bool = False,
    write_to: Path | None = None,
    max_objects: int = OBJECTS_AT_ONCE,
) -> VideoScore:
    """Track all objects of a video and score them on its annotated frames.

    The numbers are those that `scoring.score` gives for the masks as written in this layout.

    Args:
        model: in eval mode.
        video: with at least one visible object.
        kind: of the prompts, one for each object where it first appears.
        num_points: of point prompts.
        is_memory_used: False scores the same network with its memory emptied.
        keep_frames: frames whose predicted masks are kept in the result.
        clicks: corrections of each box or point, before tracking goes on: each on the centre of
            the largest error that is left.
        layout: whether objects can overlap in the prediction; None = as in the truth.
        count_first_and_last: count each object's first and last annotated frame too.
        write_to: a folder to which the masks of every frame are written.
        max_objects: how many objects run together.

    Raises:
        ValueError: frames or masks cannot be read, or written in this layout; clicks with masks.
    """
    begin = time.monotonic()
    object_ids = video.object_ids
    layout = layout or choose_layout(video)
    prompts = first_appearance_prompts(video, kind, num_points, clicks)
    record = _Record(video, {prompt.object_id: prompt.frame for prompt in prompts})
    kept: dict[int, Tensor] = {}
    writer = None
    if write_to is not None:
        writer = MaskWriter(write_to, video.video_id, video.frame_names, object_ids, layout)
    last = max([*video.labelled_frames, *keep_frames]) if writer is None else video.num_frames - 1
    frames = track(
        model,
        VideoFrames(video),
        prompts,
        is_memory_used=is_memory_used,
        max_objects=max_objects,
    )
    with closing(frames):
        for frame in islice(frames, last + 1):
            masks = FrameMasks(frame, layout)
            record.add(frame.index, masks, counts_first=count_first_and_last)
            if frame.index in keep_frames:
                kept[frame.index] = torch.stack([masks.of(name) for name in object_ids])
            if writer is not None:
                writer.write(frame.index, masks)
    return VideoScore(
        video.video_id,
        record.similarities,
        video.num_frames,
        time.monotonic() - begin,
        kept,
        record.summarise(count_first_and_last=count_first_and_last),
        last + 1,
    )


class _Record:
    """The scores of a video's objects, frame by frame."""

    def __init__(self, video: Video, prompt_frames: dict[int, int]) -> None:
        self._video = video
        self._prompt_frames = prompt_frames
        self._objects = {name: ObjectScores(name) for name in video.object_ids}
        self._annotated = {
            name: [i for i in video.labelled_frames if video.is_labelled(i, name)]
            for name in video.object_ids
        }
        self.similarities: dict[int, dict[int, float]] = {name: {} for name in video.object_ids}

    def add(self, index: int, masks: FrameMasks, *, counts_first: bool) -> None:
        """Score the objects that are annotated on a frame."""
        video = self._video
        names = [name for name in video.object_ids if video.is_labelled(index, name)]
        for start in range(0, len(names), _READ_TOGETHER):
            together = names[start : start + _READ_TOGETHER]
            for name, truth in zip(together, video.read_masks(index, together), strict=True):
                if index == self._annotated[name][0] and not counts_first:
                    is_visible = bool((truth == OBJECT).any())
                    self._objects[name].note(index, is_visible=is_visible)
                    continue
                score = self._objects[name].update(index, masks.of(name), truth)
                if index > self._prompt_frames[name]:
                    self.similarities[name][index] = score.j

    def summarise(self, *, count_first_and_last: bool) -> tuple[ObjectSummary, ...]:
        """Return the scores of the objects that have any."""
        found = []
        for name, scores in self._objects.items():
            frames = self._annotated[name]
            leave_out = () if count_first_and_last else (frames[0], frames[-1])
            if (summary := scores.summary(leave_out)) is not None:
                found.append(summary)
        return tuple(found)


def mean_over_objects(scores: Sequence[VideoScore]) -> float:
    """Return the mean J over all objects of all videos; NaN where none can be scored."""
    values = [value for score in scores for value in score.objects.values()]
    return sum(values) / len(values) if values else math.nan
