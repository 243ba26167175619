"""Tests of sam2_video.training."""
