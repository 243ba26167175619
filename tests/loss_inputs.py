"""Small targets and tracker outputs for the tests of the clip loss."""

from dataclasses import replace

import torch
import torch.nn.functional as F

from sam2_video.config import LossConfig
from sam2_video.structures import FrameOutput

ALL_TERMS = LossConfig(
    bce=1.0, focal=20.0, dice=1.0, soft_iou=0.5, temporal=2.0, iou_prediction=1.0, object_score=1.0
)


def make_targets(objects=2, frames=3, size=16):
    """Squares that move by one pixel a frame."""
    targets = torch.zeros(objects, frames, size, size, dtype=torch.uint8)
    for row in range(objects):
        for frame in range(frames):
            targets[row, frame, 2 + row : 7 + row, 1 + frame : 7 + frame] = 1
    return targets


def make_output(frame, objects, hypotheses=3, seed=0, is_given=False, size=8):
    generator = torch.Generator().manual_seed(100 * seed + frame)
    count = len(objects)
    return FrameOutput(
        frame=frame,
        objects=objects,
        mask_logits=torch.randn(count, hypotheses, size, size, generator=generator),
        iou_predictions=torch.rand(count, hypotheses, generator=generator),
        object_score_logits=torch.randn(count, generator=generator),
        best=torch.zeros(count, dtype=torch.long),
        pointers=torch.zeros(count, 4),
        is_given=is_given,
    )


def with_gradient(output):
    return replace(
        output,
        mask_logits=output.mask_logits.detach().clone().requires_grad_(),
        iou_predictions=output.iou_predictions.detach().clone().requires_grad_(),
        object_score_logits=output.object_score_logits.detach().clone().requires_grad_(),
    )


def gradients(output):
    return output.mask_logits.grad, output.iou_predictions.grad, output.object_score_logits.grad


def only(**weights):
    off = dict.fromkeys(
        ("bce", "focal", "dice", "soft_iou", "temporal", "iou_prediction", "object_score"), 0.0
    )
    return LossConfig(**{**off, **weights})


def labelled_like(targets):
    return torch.ones(targets.shape[:2], dtype=torch.bool)


def upsample(logits):
    return F.interpolate(logits, size=(16, 16), mode="bilinear", align_corners=False)
