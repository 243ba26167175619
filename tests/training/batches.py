"""A batch of two clips with seven objects, some of which appear late, are absent or unlabelled."""

import torch

from sam2_video.structures import ClipBatch, ClipSource

LATE = {2: 1, 3: 2, 5: 2}
"""Objects that appear after the first frame, and when."""
OBJECTS = (4, 3)


def make_batch(num_frames=3, size=(48, 64), objects=OBJECTS, late=LATE):
    generator = torch.Generator().manual_seed(0)
    height, width = size
    count = sum(objects)
    masks = torch.zeros(count, num_frames, height, width, dtype=torch.uint8)
    for row in range(count):
        for frame in range(late.get(row, 0), num_frames):
            top, left = 3 * (row % 7) + frame, 5 * (row % 7) + 2 * frame
            masks[row, frame, top : top + 14, left : left + 16] = 1
    labelled = torch.ones(count, num_frames, dtype=torch.bool)
    masks[0, 2] = 0
    masks[1, 1, :10] = 255
    labelled[-1, 1] = False
    clips = masks.split(list(objects))
    return ClipBatch(
        frames=tuple(
            torch.randint(0, 256, (num_frames, 3, *size), generator=generator, dtype=torch.uint8)
            for _ in objects
        ),
        masks=tuple(clips),
        labelled=labelled,
        object_clip=torch.repeat_interleave(torch.arange(len(objects)), torch.tensor(objects)),
        prompt_frames=tuple(late.get(row, 0) for row in range(count)),
        sources=tuple(
            ClipSource(
                f"video_{clip}", tuple(map(str, range(num_frames))), tuple(range(1, n + 1)), clip
            )
            for clip, n in enumerate(objects)
        ),
    )
