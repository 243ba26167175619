"""Pictures that people look at: arrays in, a picture out; nothing is written here."""

from sam2_video.visualise.clips import ShownClip, draw_clips
from sam2_video.visualise.comparison import Prediction, draw_comparison
from sam2_video.visualise.curves import draw_curves
from sam2_video.visualise.fading import draw_fading
from sam2_video.visualise.movie import Panel, draw_panels, encode_mp4, even_size, open_movie
from sam2_video.visualise.paint import fit_frame, fit_masks, paint_masks
from sam2_video.visualise.shown import ShownFrame, read_shown_frame
from sam2_video.visualise.summary import ObjectTimes, draw_data_summary

__all__ = [
    "ObjectTimes",
    "Panel",
    "Prediction",
    "ShownClip",
    "ShownFrame",
    "draw_clips",
    "draw_comparison",
    "draw_curves",
    "draw_data_summary",
    "draw_fading",
    "draw_panels",
    "encode_mp4",
    "even_size",
    "fit_frame",
    "fit_masks",
    "open_movie",
    "paint_masks",
    "read_shown_frame",
]
