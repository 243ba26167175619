"""Let the C library give freed blocks back to the system, or keep them for the next step.

A training step on a CPU mixes blocks of some MB that live long and short. glibc takes them from one
heap, which grows to two or three times of what its tensors hold. A block that is mapped on its own
goes back when it is freed; to clear it when it is taken again costs the system a quarter of a step.
Who has memory enough keeps all: what a step frees the next one takes, and 2 % of its time is saved.
"""

import ctypes
import os
from collections.abc import Mapping
from functools import cache

MAPPED_BYTES = 2**20
"""From this size on a block is mapped on its own; set once, it does not grow."""
MOST_MAPPED_BYTES = 32 * 2**20
"""The largest such size that glibc allows."""
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""Options of malloc.h."""
_GIVE_BACK = {_MMAP_THRESHOLD: MAPPED_BYTES, _TRIM_THRESHOLD: 2**17, _TOP_PAD: 2**17}
_KEEP = {_MMAP_THRESHOLD: MOST_MAPPED_BYTES, _TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 2**28}


@cache
def give_back_freed_blocks() -> bool:
    """Do so from now on in this process; return whether it could be asked for.

    Whoever has set a threshold by `MALLOC_MMAP_THRESHOLD_` or its like keeps it. Other systems have
    no such setting.
    """
    return _ask_for(_GIVE_BACK)


@cache
def keep_freed_blocks() -> bool:
    """Keep them for what is taken next, as `give_back_freed_blocks` gives them back."""
    return _ask_for(_KEEP)


def _ask_for(options: Mapping[int, int]) -> bool:
    if any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return all(set_option(*option) for option in options.items())
