"""Score a model on whole videos: prompt each object where it first appears, track, compare."""

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from sam2_video.data.video import Video
from sam2_video.metrics import region_similarity
from sam2_video.model.sam2 import SAM2Model
from sam2_video.model.stream import ObjectPrompt, TrackedFrame
from sam2_video.prompts import prompt_from_mask
from sam2_video.structures import OBJECT, PromptKind


@dataclass(frozen=True)
class VideoScore:
    """Region similarity J of one video at its own size.

    `frames[object_id]` maps frame index to J on labelled frames after the object's prompt;
    `masks[frame]` keeps what was predicted on the frames that were asked for.
    """

    video_id: str
    frames: dict[int, dict[int, float]]
    num_frames: int
    seconds: float
    masks: dict[int, Bool[Tensor, "objects height width"]] = field(default_factory=dict)

    @property
    def objects(self) -> dict[int, float]:
        """Return each object's mean J; objects without a frame to score on are left out."""
        means = {}
        for name, by_frame in self.frames.items():
            values = [value for value in by_frame.values() if not math.isnan(value)]
            if values:
                means[name] = sum(values) / len(values)
        return means

    @property
    def mean(self) -> float:
        """Return the mean over objects; NaN where none can be scored."""
        values = list(self.objects.values())
        return sum(values) / len(values) if values else math.nan


class VideoFrames(Sequence[Tensor]):
    """The frames of a video, decoded as they are asked for."""

    def __init__(self, video: Video) -> None:
        self._video = video

    def __len__(self) -> int:
        return self._video.num_frames

    def __getitem__(self, index: int) -> UInt8[Tensor, "3 height width"]:  # pyright: ignore
        if index >= len(self):
            raise IndexError(index)
        return self._video.read_frame(index)


def first_appearance_prompts(
    video: Video, kind: PromptKind, num_points: int = 1
) -> list[ObjectPrompt]:
    """Return a prompt for each object on the first frame that shows it, drawn from the truth."""
    by_frame: dict[int, list[int]] = defaultdict(list)
    for name in video.object_ids:
        by_frame[video.first_appearance(name)].append(name)
    prompts = []
    for frame, names in sorted(by_frame.items()):
        masks = video.read_masks(frame, names)
        if kind is PromptKind.MASK:
            prompts += [
                ObjectPrompt(name, frame, mask=mask == OBJECT)
                for name, mask in zip(names, masks, strict=True)
            ]
            continue
        drawn = prompt_from_mask(masks, kind, num_points, frame=frame, objects=tuple(names))
        assert drawn.points is not None
        assert drawn.labels is not None
        for name, points, labels in zip(names, drawn.points, drawn.labels, strict=True):
            if kind is PromptKind.BOX:
                prompts.append(ObjectPrompt(name, frame, box=points.flatten().tolist()))
            else:
                prompts.append(
                    ObjectPrompt(name, frame, points=points.tolist(), labels=labels.tolist())
                )
    return prompts


def evaluate_video(
    model: SAM2Model,
    video: Video,
    kind: PromptKind = PromptKind.MASK,
    num_points: int = 1,
    is_memory_used: bool = True,
    keep_frames: Sequence[int] = (),
) -> VideoScore:
    """Track all objects of a video and score them on its labelled frames.

    Args:
        model: in eval mode.
        video: with at least one visible object.
        kind: of the prompts, one for each object where it first appears.
        num_points: of point prompts.
        is_memory_used: False scores the same network with its memory emptied.
        keep_frames: frames whose predicted masks are kept in the result.
    """
    start = time.monotonic()
    prompts = first_appearance_prompts(video, kind, num_points)
    started = {prompt.object_id: prompt.frame for prompt in prompts}
    scores: dict[int, dict[int, float]] = {name: {} for name in video.object_ids}
    kept: dict[int, Tensor] = {}
    for frame in model.track(VideoFrames(video), prompts, is_memory_used):
        index = frame.index
        if index in keep_frames:
            kept[index] = _all_masks(frame, video.object_ids)
        rows = {
            name: row
            for row, name in enumerate(frame.object_ids)
            if started[name] < index and video.is_labelled(index, name)
        }
        if rows:
            truth = video.read_masks(index, tuple(rows)).to(frame.mask_logits.device)
            values = region_similarity(frame.masks[list(rows.values())], truth).tolist()
            for name, value in zip(rows, values, strict=True):
                scores[name][index] = value
    return VideoScore(video.video_id, scores, video.num_frames, time.monotonic() - start, kept)


def _all_masks(frame: TrackedFrame, object_ids: Sequence[int]) -> Tensor:
    """Return one mask for each object of the video, empty for those not yet prompted."""
    masks = torch.zeros(len(object_ids), *frame.mask_logits.shape[1:], dtype=torch.bool)
    for row, name in enumerate(frame.object_ids):
        masks[object_ids.index(name)] = frame.masks[row].cpu()
    return masks


def mean_over_objects(scores: Sequence[VideoScore]) -> float:
    """Return the mean J over all objects of all videos; NaN where none can be scored."""
    values = [value for score in scores for value in score.objects.values()]
    return sum(values) / len(values) if values else math.nan
