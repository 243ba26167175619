"""Score a model on whole videos: prompt each object where it first appears, track, compare."""

from sam2_video.evaluation.prompting import first_appearance_prompts
from sam2_video.evaluation.run import Evaluation, evaluate
from sam2_video.evaluation.score import (
    VideoScore,
    choose_layout,
    evaluate_video,
    mean_over_objects,
)

__all__ = [
    "Evaluation",
    "VideoScore",
    "choose_layout",
    "evaluate",
    "evaluate_video",
    "first_appearance_prompts",
    "mean_over_objects",
]
