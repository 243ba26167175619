"""How far the encoding of frames is, said now and then; sizes and times as people read them."""

import time
from threading import Lock

from loguru import logger

SECONDS_BETWEEN = 10.0


class FrameCount:
    """Counts the frames that are done, in any thread, and says how long the rest will take."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self._lock = Lock()
        self._started = self._said = time.monotonic()

    def add(self, number: int) -> None:
        """Count frames that have been encoded."""
        with self._lock:
            self.done += number
            now = time.monotonic()
            if now - self._said < SECONDS_BETWEEN:
                return
            self._said = now
            left = (now - self._started) / self.done * (self.total - self.done)
            logger.info(
                f"dataset.feature_cache: {self.done:,} of {self.total:,} frames encoded, about "
                f"{as_time(left)} left"
            )

    def leave_out(self, number: int) -> None:
        """Expect fewer frames: another process has encoded them."""
        with self._lock:
            self.total -= number


def as_bytes(number: int) -> str:
    """Return a size.

    >>> as_bytes(2_097_152), as_bytes(33_600_000_000)
    ('2.1 MB', '33.6 GB')
    """
    if number >= 1e9:
        return f"{number / 1e9:,.1f} GB"
    return f"{number / 1e6:.1f} MB" if number >= 1e5 else f"{number / 1e3:.1f} kB"


def as_time(seconds: float) -> str:
    """Return a time.

    >>> as_time(5), as_time(200), as_time(9000)
    ('5 s', '3 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
