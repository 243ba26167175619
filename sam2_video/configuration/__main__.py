"""Rewrite the table of keys: `python -m sam2_video.configuration docs/configuration.md`."""

import sys
from pathlib import Path

from sam2_video.configuration.reference import update_reference

if __name__ == "__main__":
    update_reference(Path(sys.argv[1]))
