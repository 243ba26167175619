"""A training batch as pictures show it: resized frames and targets, and the prompts drawn."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sam2_video.config import AugmentationConfig, PromptConfig
from sam2_video.data.video import Video
from sam2_video.pixels import PIXEL_MEAN, PIXEL_STD
from sam2_video.structures import ClipBatch
from sam2_video.training.objective import draw_lesson
from sam2_video.training.parts import Part
from sam2_video.visualise import ShownClip

MOST_CLIPS = 3


def show_clips(
    batch: ClipBatch,
    image_size: tuple[int, int],
    settings: PromptConfig,
    augmentation: AugmentationConfig | None,
    videos: Mapping[str, Video],
) -> list[ShownClip]:
    """Return the first clips of a batch as the training step sees them.

    What is drawn for a clip depends on its seed and its objects alone, so it is drawn once more.
    The frames of clips that were encoded beforehand are read from their videos.

    Raises:
        OSError: they cannot be read.
    """
    count = min(MOST_CLIPS, batch.num_clips)
    num_objects = sum(len(source.object_ids) for source in batch.sources[:count])
    first_clips = replace(
        batch,
        frames=batch.frames[:count] if batch.levels is None else _read(batch, count, videos),
        levels=None,
        masks=batch.masks[:count],
        labelled=batch.labelled[:num_objects],
        object_clip=batch.object_clip[:num_objects],
        prompt_frames=batch.prompt_frames[:num_objects],
        sources=batch.sources[:count],
    )
    lesson = draw_lesson(first_clips.to("cpu"), image_size, settings, augmentation)
    clips, pixels = lesson.clips, lesson.clips.pixels
    assert pixels is not None
    shown = []
    end = 0
    for number, source in enumerate(batch.sources[:count]):
        first, end = end, end + len(source.object_ids)
        part = Part(first, end)
        num_padded = batch.num_frames - len(source.frame_names)
        all_ids = videos[source.video_id].object_ids
        shown.append(
            ShownClip(
                source.video_id,
                source.frame_names + source.frame_names[-1:] * num_padded,
                _as_colours(pixels[number]),
                clips.targets[first:end],
                clips.labelled[first:end],
                source.object_ids,
                # objects that are pasted from another video are -1, -2, ...
                tuple(
                    all_ids.index(name) if name in all_ids else len(all_ids) - 1 - name
                    for name in source.object_ids
                ),
                tuple(part.take(lesson.prompts)),
                tuple(part.take(lesson.corrections)),
            )
        )
    return shown


def _read(
    batch: ClipBatch, count: int, videos: Mapping[str, Video]
) -> tuple[UInt8[Tensor, "frames 3 _height _width"], ...]:
    clips = []
    for source in batch.sources[:count]:
        video = videos[source.video_id]
        try:
            frames = [video.read_frame(video.frame_names.index(n)) for n in source.frame_names]
        except ValueError as error:  # damaged, and no image is needed for training
            raise OSError(str(error)) from error
        frames += frames[-1:] * (batch.num_frames - len(frames))
        clips.append(torch.stack(frames))
    return tuple(clips)


def _as_colours(
    pixels: Float[Tensor, "frames 3 height width"],
) -> UInt8[Tensor, "frames 3 height width"]:
    mean, std = (pixels.new_tensor(values)[:, None, None] for values in (PIXEL_MEAN, PIXEL_STD))
    return ((pixels * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)
