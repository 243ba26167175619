"""Prompts from true masks: random and corrected ones to train with, fixed ones to evaluate with."""

from sam2_video.prompts.centre import centre_click
from sam2_video.prompts.clicks import draw_click
from sam2_video.prompts.fixed import prompt_from_mask
from sam2_video.prompts.points import BOX_CORNERS, NEGATIVE, PADDING, POSITIVE
from sam2_video.prompts.user import UserInput, draw_prompts, simulate_user

__all__ = [
    "BOX_CORNERS",
    "NEGATIVE",
    "PADDING",
    "POSITIVE",
    "UserInput",
    "centre_click",
    "draw_click",
    "draw_prompts",
    "prompt_from_mask",
    "simulate_user",
]
