"""The command line: `sam2-video VERB`, whose help needs no torch."""

from sam2_video.cli.dispatch import main

__all__ = ["main"]
