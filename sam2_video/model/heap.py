"""What glibc does with freed memory: joined again, it is kept for what comes next, in large pages.

A training step on a CPU mixes blocks of some MB that live long and short. What a step frees the
next one takes, and no page has to be cleared again. The same memory is read step after step: in
pages of 2 MB the processor finds its place sooner than in those of 4 KB.

PyTorch asks for blocks that start at a multiple of 64 bytes. glibc takes a larger one and frees
both ends; small as they are, each thread keeps them apart for the next small block (tcache).
Without its ends, what was freed is too small for a block of the same size: the heap grows, though
most of it is free.
"""

import ctypes
import mmap
import os
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

MOST_MAPPED_BYTES = 32 * 2**20
"""From this size on glibc maps a block on its own, at most."""
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""Options of malloc.h."""
_COLLAPSE = 25
"""Advice of mman.h."""
_LARGE_PAGE = 2 * 2**20
_asked_for: list[tuple[int, int] | None] = [None]
"""The heap as it was then."""
_TUNABLES = "GLIBC_TUNABLES"
_SMALL_BLOCKS = "glibc.malloc.tcache_count"
"""How many freed blocks of each small size a thread keeps apart: 7 unless a process starts with
another number."""
_KEEP = {_MMAP_THRESHOLD: MOST_MAPPED_BYTES, _TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 2**28}


def joining_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what to add to an environment so that a process in it joins all that is freed.

    Nothing where there is no glibc, and where the environment has settings of its own.
    """
    if sys.platform != "linux" or "CS_GNU_LIBC_VERSION" not in os.confstr_names:
        return {}
    tunables = environment.get(_TUNABLES, "")
    if _SMALL_BLOCKS in tunables or _has_thresholds(environment):
        return {}
    others = [tunables] if tunables else []
    return {_TUNABLES: ":".join([*others, f"{_SMALL_BLOCKS}=0"])}


def _has_thresholds(environment: Mapping[str, str]) -> bool:
    return any(name.startswith("MALLOC_") for name in environment)


@cache
def keep_freed_blocks() -> bool:
    """Keep them from now on for what is taken next; return whether it could be asked for.

    Whoever has set a threshold by `MALLOC_MMAP_THRESHOLD_` or its like keeps it. Other systems have
    no such setting.
    """
    if _has_thresholds(os.environ):
        return False
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return all(set_option(*option) for option in _KEEP.items())


def put_into_large_pages() -> bool:
    """Put what the heap holds now into large pages; return whether it was asked for.

    Asked for again only where the heap has grown. Systems other than Linux, and those before
    Linux 6.1, refuse; so does a Linux that has no such pages left.
    """
    if not keep_freed_blocks() or not (heap := _heap()) or heap == _asked_for[-1]:
        return False
    _asked_for[:] = [heap]
    start, end = heap
    first = -(-start // _LARGE_PAGE) * _LARGE_PAGE
    length = max(end - first, 0) // mmap.PAGESIZE * mmap.PAGESIZE
    # what is refused stays as it is
    ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(length), _COLLAPSE)
    return True


def _heap() -> tuple[int, int] | None:
    """Return from where to where the heap reaches, as Linux tells."""
    try:
        with Path("/proc/self/maps").open() as maps:
            # among the first of thousands of lines
            line = next((line for line in maps if line.endswith("[heap]\n")), None)
    except OSError:
        return None
    if line is None:
        return None
    start, end = line.split(maxsplit=1)[0].split("-")
    return int(start, 16), int(end, 16)
