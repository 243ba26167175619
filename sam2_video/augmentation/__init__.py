"""Change training clips at random, on the device where they lie: geometry and colours."""

from sam2_video.augmentation.clips import augment_clips
from sam2_video.augmentation.presets import PRESETS, Strengths, choose_strengths

__all__ = ["PRESETS", "Strengths", "augment_clips", "choose_strengths"]
