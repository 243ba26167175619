"""The largest clip that can come, and the seed with which it costs most: what memory must hold."""

from dataclasses import replace

import torch

from sam2_video.config import PromptConfig
from sam2_video.structures import ClipBatch, ClipSource
from sam2_video.training.objective import draw_lesson

NUM_SEEDS = 16


def make_largest_clip(length: int, num_objects: int, size: tuple[int, int]) -> ClipBatch:
    """Return one clip, all of whose objects are visible, and labelled, on all of its frames."""
    height, width = size
    masks = torch.zeros(num_objects, length, height, width, dtype=torch.uint8)
    masks[:, :, height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = 1
    return ClipBatch(
        frames=(torch.zeros(length, 3, height, width, dtype=torch.uint8),),
        masks=(masks,),
        labelled=torch.ones(num_objects, length, dtype=torch.bool),
        object_clip=torch.zeros(num_objects, dtype=torch.long),
        prompt_frames=(0,) * num_objects,
        sources=(ClipSource("made up", ("",) * length, tuple(range(1, num_objects + 1)), 0),),
    )


def repeat_clip(clip: ClipBatch, count: int, seed: int) -> ClipBatch:
    """Return a batch of so many times the same clip, all with the same seed."""
    num_objects = len(clip.prompt_frames)
    return ClipBatch(
        frames=clip.frames * count,
        masks=clip.masks * count,
        labelled=clip.labelled.repeat(count, 1),
        object_clip=torch.arange(count).repeat_interleave(num_objects),
        prompt_frames=clip.prompt_frames * count,
        sources=(replace(clip.sources[0], seed=seed),) * count,
    )


def heaviest_seed(length: int, settings: PromptConfig) -> int:
    """Return the seed of a clip that is shown and corrected most often: each click is a decoding.

    Some are tried, on a clip of one small object.
    """
    clip = make_largest_clip(length, 1, (32, 32))

    def count_decodings(seed: int) -> int:
        lesson = draw_lesson(repeat_clip(clip, 1, seed), (32, 32), settings)
        clicks = sum(part.places.shape[1] for part in lesson.corrections)
        # a frame whose mask is given is not predicted
        return clicks - sum(prompt.masks is not None for prompt in lesson.prompts)

    return max(range(NUM_SEEDS), key=count_decodings)
