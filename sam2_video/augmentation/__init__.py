"""Change training clips at random, on the device where they lie: geometry and colours."""

from sam2_video.augmentation.clips import augment_clips, keeps_an_object
from sam2_video.augmentation.geometry import Geometry, draw_variant
from sam2_video.augmentation.presets import PRESETS, Strengths, choose_strengths
from sam2_video.augmentation.warp import warp_frames

__all__ = [
    "PRESETS",
    "Geometry",
    "Strengths",
    "augment_clips",
    "choose_strengths",
    "draw_variant",
    "keeps_an_object",
    "warp_frames",
]
