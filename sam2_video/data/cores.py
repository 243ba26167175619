"""How many processor cores there are for this process."""

import os


def num_cores() -> int:
    """Return how many cores this process may use, where the system tells; else how many it has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
