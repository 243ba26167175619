"""The section `losses`: weights of the loss terms and their settings."""

from dataclasses import dataclass
from typing import Literal

from sam2_video.config.setting import setting


@dataclass(frozen=True)
class LossConfig:
    """Weights of the loss terms (0 = off) and their settings."""

    bce: float = setting(0.0, "binary cross entropy of the mask", ge=0)
    focal: float = setting(20.0, "focal loss of the mask", ge=0)
    dice: float = setting(1.0, "Dice loss of the mask", ge=0)
    soft_iou: float = setting(0.0, "soft IoU (Jaccard) loss of the mask", ge=0)
    temporal: float = setting(0.0, "predicted change against true change between frames", ge=0)
    iou_prediction: float = setting(
        1.0, "regression of the predicted IoU of every hypothesis", ge=0
    )
    iou_regression: Literal["l1", "l2"] = setting(
        "l1",
        "|error| as in Meta's fine-tuning, or its square, which learns from far off",
    )
    object_score: float = setting(1.0, "object present or absent", ge=0)
    focal_alpha: float = setting(
        0.25, "weight of the object's pixels in the focal loss; -1 = none", ge=-1, le=1
    )
    focal_gamma: float = setting(2.0, "focusing exponent of the focal loss", ge=0)
    reduction: Literal["mean", "sum"] = setting(
        "mean",
        "mean over valid objects, frames and clicks; sum = Meta's sum over frames and clicks",
    )
