"""Draw one correction click for each object from the errors of what was said of it."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from sam2_video.prompts.points import NEGATIVE, PADDING, POSITIVE, Labels, Points, uniform_points
from sam2_video.structures import IGNORE, OBJECT, Corrections


@torch.no_grad()
def draw_click(
    corrections: Corrections,
    number: int,
    mask_logits: Float[Tensor, "objects mask_height mask_width"],
) -> tuple[Points, Labels]:
    """Return the click of this number on each object, without waiting for the device.

    A uniform pixel of the error region at the input's size: positive where the object was missed,
    negative where something else was taken for it (Meta's `sample_random_points_from_errors`).
    A click from the truth sees an empty prediction. Where nothing is wrong, a negative click on
    the background; if there is none either, no click: label -1. Ignored pixels are neither.
    """
    targets = corrections.targets
    is_known, is_object = targets != IGNORE, targets == OBJECT
    logits = F.interpolate(
        mask_logits.float().unsqueeze(1), targets.shape[-2:], mode="bilinear", align_corners=False
    )
    is_shown = ~corrections.is_from_truth[:, number, None, None]
    is_wrong = (((logits.squeeze(1) > 0) & is_shown) != is_object) & is_known
    is_any_wrong = is_wrong.flatten(1).any(1)[:, None, None]
    region = torch.where(is_any_wrong, is_wrong, is_known & ~is_object)
    points, labels = uniform_points(region, corrections.places[:, number, None])
    x, y = points.long().unbind(-1)
    rows = torch.arange(len(targets), device=targets.device)[:, None]
    # padding points to (0, 0), and stays padding
    clicked = torch.where(is_object[rows, y, x], POSITIVE, NEGATIVE)
    return points, torch.where(labels == PADDING, PADDING, clicked)
