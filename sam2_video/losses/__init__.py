"""Losses of a clip: pure terms per object, reduced with weights to one number."""

from sam2_video.losses.clip import clip_loss, sum_terms
from sam2_video.losses.total import ClipLoss, LossSums, weigh_sums

__all__ = ["ClipLoss", "LossSums", "clip_loss", "sum_terms", "weigh_sums"]
