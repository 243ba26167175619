"""Tests of `sam2_video.diagnosis`."""
