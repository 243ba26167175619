"""Let the C library give freed blocks back to the system: it keeps those of up to 32 MB, in pieces.

A training step on a CPU mixes blocks of some MB that live long and short. glibc takes them from one
heap, which grows to two or three times of what its tensors hold. A block that is mapped on its own
goes back when it is freed; to clear it when it is taken again costs the system a fifth of a step.
"""

import ctypes
import os
from functools import cache

MAPPED_BYTES = 2**20
"""From this size on a block is mapped on its own; set once, it does not grow."""
_MMAP_THRESHOLD = -3
"""`M_MMAP_THRESHOLD` of malloc.h."""


@cache
def give_back_freed_blocks() -> bool:
    """Do so from now on in this process; return whether it could be asked for.

    Whoever has set the threshold by `MALLOC_MMAP_THRESHOLD_` keeps it. Other systems have no such
    setting.
    """
    if "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return False
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(set_option(_MMAP_THRESHOLD, MAPPED_BYTES))
