"""Look at data before it is trained on: what is there, what is wrong with it, and the way out."""

from sam2_video.data.check.inspection import Inspection, inspect_data
from sam2_video.data.check.report import (
    CheckReport,
    Finding,
    ObjectSummary,
    SetSummary,
    VideoSummary,
)
from sam2_video.data.check.summary import summarise

__all__ = [
    "CheckReport",
    "Finding",
    "Inspection",
    "ObjectSummary",
    "SetSummary",
    "VideoSummary",
    "inspect_data",
    "summarise",
]
