"""What glibc does with freed memory: it is kept for what comes next, or goes back.

A training step on a CPU mixes blocks of some MB that live long and short. glibc takes them from one
heap, and what lives long lies between what is free: in one step the heap grows to two or three
times of what its tensors hold. Who has memory enough keeps all of it, for what a step frees the
next one takes, and no page has to be cleared again. Who has not gives pages back between frames,
forward and backward, when there are more of them than a step can use: 5 % of its time.
"""

import ctypes
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

IGNORED_BYTES = 32 * 2**20
"""So much more than is needed is not worth the time."""
MOST_MAPPED_BYTES = 32 * 2**20
"""From this size on glibc maps a block on its own, at most."""
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""Options of malloc.h."""
_KEEP = {_MMAP_THRESHOLD: MOST_MAPPED_BYTES, _TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 2**28}
_RESIDENT = Path("/proc/self/statm")


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


def give_back_around(tensor: Tensor) -> None:
    """Give freed blocks back now, and once more when the gradient of this tensor is known.

    Between two frames there is little that lives, and much that has been freed.
    """
    device = tensor.device
    give_back_freed_blocks(device)
    if tensor.requires_grad and device.type == "cpu":
        # a compiled part may have no gradient to give
        tensor.register_hook(lambda _: give_back_freed_blocks(device))


def give_back_freed_blocks(device: torch.device) -> None:
    """Give back the pages of freed blocks, where a CPU computes and too many of them are held."""
    trim = _trim()
    if device.type == "cpu" and trim is not None:
        _heap.trim_if_large(trim)


class _Heap:
    """What this process held when it had given back all it could, and by how much it grew after it.

    The two largest together are what a step needs. Only beyond that it is given back: to clear a
    page anew costs more time than to find it.
    """

    def __init__(self) -> None:
        self.needed = 0
        self.growth = 0
        self.before: int | None = None

    def trim_if_large(self, trim: Callable[[int], object]) -> None:
        held = _resident_bytes()
        if self.before is not None:
            self.growth = max(self.growth, held - self.before)
            self.before = None
        if held > self.needed + self.growth + IGNORED_BYTES:
            trim(0)
            self.before = _resident_bytes()
            self.needed = max(self.needed, self.before)


_heap = _Heap()


@cache
def _trim() -> "ctypes._NamedFuncPointer | None":
    """Return glibc's function; no other library has it."""
    if not _RESIDENT.exists():
        return None
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None


def _resident_bytes() -> int:
    return int(_RESIDENT.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
