"""Track objects through whole videos, streaming, and write down what was predicted."""

from sam2_video.inference.ahead import VideoFrames
from sam2_video.inference.layout import FrameMasks, MaskLayout
from sam2_video.inference.loading import Accelerator, choose_device, fingerprint, load_model
from sam2_video.inference.mask_files import MaskWriter, write_mask
from sam2_video.inference.tracking import track

__all__ = [
    "Accelerator",
    "FrameMasks",
    "MaskLayout",
    "MaskWriter",
    "VideoFrames",
    "choose_device",
    "fingerprint",
    "load_model",
    "track",
    "write_mask",
]
