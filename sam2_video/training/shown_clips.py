"""A training batch as pictures show it: resized frames and targets, and the prompts drawn."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sam2_video.config import PromptConfig
from sam2_video.data.transforms import prepare_clips
from sam2_video.data.video import Video
from sam2_video.pixels import PIXEL_MEAN, PIXEL_STD
from sam2_video.prompts import draw_prompts
from sam2_video.structures import ClipBatch, Prompt
from sam2_video.visualise import ShownClip

MOST_CLIPS = 3


def show_clips(
    batch: ClipBatch,
    image_size: tuple[int, int],
    settings: PromptConfig,
    videos: Mapping[str, Video],
) -> list[ShownClip]:
    """Return the first clips of a batch as the training step sees them.

    A clip's prompts depend on its seed and its objects alone, so they are drawn once more.
    """
    count = min(MOST_CLIPS, batch.num_clips)
    object_clip = [i for i, source in enumerate(batch.sources[:count]) for _ in source.object_ids]
    num_objects = len(object_clip)
    clips = prepare_clips(
        replace(
            batch,
            frames=batch.frames[:count],
            masks=batch.masks[:count],
            labelled=batch.labelled[:num_objects],
            object_clip=batch.object_clip[:num_objects],
            prompt_frames=batch.prompt_frames[:num_objects],
            sources=batch.sources[:count],
        ).to("cpu"),
        image_size,
    )
    prompts = draw_prompts(clips.targets, clips.prompt_frames, object_clip, clips.seeds, settings)
    shown = []
    for number, source in enumerate(batch.sources[:count]):
        first = object_clip.index(number)
        end = first + len(source.object_ids)
        all_ids = videos[source.video_id].object_ids
        shown.append(
            ShownClip(
                source.video_id,
                source.frame_names,
                _as_colours(clips.pixels[number]),
                clips.targets[first:end],
                clips.labelled[first:end],
                source.object_ids,
                tuple(all_ids.index(name) for name in source.object_ids),
                tuple(p for prompt in prompts if (p := _take(prompt, first, end)) is not None),
            )
        )
    return shown


def _as_colours(
    pixels: Float[Tensor, "frames 3 height width"],
) -> UInt8[Tensor, "frames 3 height width"]:
    mean, std = (pixels.new_tensor(values)[:, None, None] for values in (PIXEL_MEAN, PIXEL_STD))
    return ((pixels * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)


def _take(prompt: Prompt, first: int, end: int) -> Prompt | None:
    """Return what a prompt says of the objects of one clip, as rows of that clip."""
    rows = [row for row, name in enumerate(prompt.objects) if first <= name < end]
    if not rows:
        return None

    def pick(values: Tensor | None) -> Tensor | None:
        return None if values is None else values[rows]

    return replace(
        prompt,
        objects=tuple(prompt.objects[row] - first for row in rows),
        masks=pick(prompt.masks),
        points=pick(prompt.points),
        labels=pick(prompt.labels),
    )
