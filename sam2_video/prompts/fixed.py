"""The fixed prompts of evaluation: an object's mask, its tight box, or its innermost points."""

import cv2
import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from sam2_video.prompts.points import PADDING, POSITIVE, Labels, Points, noisy_boxes
from sam2_video.structures import OBJECT, Prompt, PromptKind


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
    points = np.zeros((is_object.shape[0], num_points, 2), dtype=np.float32)
    labels = np.full((is_object.shape[0], num_points), PADDING, dtype=np.int64)
    for row, mask in enumerate(is_object.cpu().numpy()):
        # what lies beyond the image's edge is outside of the object
        free = np.pad(mask.astype(np.uint8), 1)
        for number in range(num_points):
            distances = cv2.distanceTransform(free, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            y, x = np.unravel_index(distances.argmax(), distances.shape)
            if not free[y, x]:
                break
            points[row, number] = x - 1, y - 1
            labels[row, number] = POSITIVE
            free[y, x] = 0
    return torch.from_numpy(points).to(is_object.device), torch.from_numpy(labels).to(
        is_object.device
    )
