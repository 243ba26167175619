"""What glibc does with freed memory: it is kept for what comes next.

A training step on a CPU mixes blocks of some MB that live long and short. What a step frees the
next one takes, and no page has to be cleared again.
"""

import ctypes
import os
from functools import cache

MOST_MAPPED_BYTES = 32 * 2**20
"""From this size on glibc maps a block on its own, at most."""
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""Options of malloc.h."""
_KEEP = {_MMAP_THRESHOLD: MOST_MAPPED_BYTES, _TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 2**28}


@cache
def keep_freed_blocks() -> bool:
    """Keep them from now on for what is taken next; return whether it could be asked for.

    Whoever has set a threshold by `MALLOC_MMAP_THRESHOLD_` or its like keeps it. Other systems have
    no such setting.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return all(set_option(*option) for option in _KEEP.items())
