"""The section `prompts`: how objects are shown to the model."""

from dataclasses import dataclass
from typing import Literal

from sam2_video.config.setting import setting


@dataclass(frozen=True)
class PromptConfig:
    """How objects are shown to the model on the frame on which they appear (training)."""

    mask: float = setting(0.5, "share of clips prompted with the true mask", ge=0)
    box: float = setting(0.25, "share of clips prompted with a box", ge=0)
    point: float = setting(0.25, "share of clips prompted with points", ge=0)
    num_points: int = setting(1, "points an object, drawn from its mask", ge=1)
    box_noise: float = setting(
        0.1, "shift of the box corners, as a share of its width and height", ge=0, le=1
    )
    conditioning_frames: int = setting(
        2, "frames on which a clip's objects are shown, at most: 1 to this many are drawn", ge=1
    )
    corrected_frames: int = setting(
        2, "frames of a clip shown by box or point that are corrected by clicks, at most", ge=0
    )
    correction_clicks: int = setting(7, "clicks on each corrected frame", ge=0)
    sample_from_truth: float = setting(
        0.1, "share of the clicks drawn from the object in place of the errors", ge=0, le=1
    )
    validation: Literal["mask", "box", "point"] = setting("mask", "prompt used in validation")
    validation_clicks: int = setting(
        0,
        "correction clicks on the prompt frame in validation: centre of the largest error; "
        "for box and point",
        ge=0,
    )
