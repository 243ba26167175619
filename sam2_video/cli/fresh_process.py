"""Training on a CPU starts in a process whose heap stays small (`model/heap.py`)."""

import os
import sys
from contextlib import suppress
from pathlib import Path

from sam2_video.model.heap import joining_environment

_GPU_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""NVIDIA's, AMD's and, within Windows, Microsoft's: there a process holds little on the CPU, and
asks for small blocks all the time."""


def start_again_for_memory() -> None:
    """Put the same command line in the place of this process, in the environment that it wants.

    The process keeps its number. Where nothing is wanted, on a machine with a GPU, and under a
    debugger or the like, whose command line is longer than ours, it goes on as it is.
    """
    wanted = joining_environment()
    is_plain = sys.orig_argv[1:] == sys.argv
    if not wanted or not is_plain or any(Path(driver).exists() for driver in _GPU_DRIVERS):
        return
    # a system that refuses to start it again leaves it as it is
    with suppress(OSError):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | wanted)
