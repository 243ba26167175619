"""Track what a user points at through a video, and write masks, a movie and a sheet of it."""

from sam2_video.prediction.requests import PromptRequest
from sam2_video.prediction.run import Prediction, predict

__all__ = ["Prediction", "PromptRequest", "predict"]
