"""Losses of a clip: pure terms per object, reduced with weights to one number."""

from sam2_video.losses.clip import ClipLoss, clip_loss

__all__ = ["ClipLoss", "clip_loss"]
