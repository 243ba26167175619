"""Pictures of a run: masks beside the truth, and the curves of its metrics."""

from sam2_video.visualise.comparison import draw_comparison
from sam2_video.visualise.curves import draw_curves
from sam2_video.visualise.paint import OBJECT_COLOURS

__all__ = ["OBJECT_COLOURS", "draw_comparison", "draw_curves"]
