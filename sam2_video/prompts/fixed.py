"""The fixed prompts of evaluation: an object's mask, its tight box, or its innermost points."""

import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from sam2_video.prompts.centre import innermost_pixels
from sam2_video.prompts.points import PADDING, POSITIVE, Labels, Points, noisy_boxes
from sam2_video.structures import OBJECT, Prompt, PromptKind

_TOGETHER = 8
"""Objects whose distances are held at once: those of a 4K frame take 0.1 GB each."""


def prompt_from_mask(
    targets: UInt8[Tensor, "objects height width"],
    kind: PromptKind,
    num_points: int,
    *,
    frame: int,
    objects: tuple[int, ...],
) -> Prompt:
    """Return the prompt used in evaluation: the mask, its tight box, or its innermost points.

    The first point is the pixel farthest from the outside of the object, each further one the
    pixel farthest from the outside and from the points before it. Points wait for the device.
    """
    is_object = targets == OBJECT
    if kind is PromptKind.MASK:
        return Prompt(frame, objects, masks=is_object.float())
    if kind is PromptKind.POINT:
        points, labels = _innermost_points(is_object, num_points)
    else:
        numbers = torch.full((len(objects), 4), 0.5, device=targets.device)
        points, labels = noisy_boxes(is_object, numbers, 0.0)
    return Prompt(frame, objects, points=points, labels=labels)


def _innermost_points(
    is_object: Bool[Tensor, "objects height width"], num_points: int
) -> tuple[Points, Labels]:
    """Return for each object the centres of the largest circles free of earlier points."""
    width = is_object.shape[-1]
    rows = torch.arange(len(is_object), device=is_object.device)
    free = is_object.byte()
    points, labels = [], []
    for _ in range(num_points):
        pixels = torch.cat([innermost_pixels(some) for some in free.split(_TOGETHER)])
        x, y = pixels % width, pixels // width
        points.append(torch.stack((x, y), dim=1).float())
        labels.append(torch.where(free[rows, y, x] > 0, POSITIVE, PADDING))
        free[rows, y, x] = 0
    return torch.stack(points, dim=1), torch.stack(labels, dim=1)
