"""Measure how fast clips are read, over all loading processes of a run."""

import time
from multiprocessing import get_context

from torch.utils.data import Dataset

from sam2_video.data.bad_samples import BadSample
from sam2_video.structures import Clip


class TimedClips(Dataset[Clip | BadSample]):
    """Clips that count, for all processes together, how many were read in how many seconds."""

    def __init__(self, clips: Dataset[Clip | BadSample]) -> None:
        self._clips = clips
        # the workers are forked, or get it as they are started
        self._totals = get_context().Array("d", 2)

    def __len__(self) -> int:
        return len(self._clips)  # pyright: ignore[reportArgumentType]

    def __getitem__(self, key: tuple[int, int]) -> Clip | BadSample:
        """Read a clip, and add to the totals."""
        start = time.perf_counter()
        clip = self._clips[key]
        seconds = time.perf_counter() - start
        with self._totals.get_lock():
            self._totals[0] += 1
            self._totals[1] += seconds
        return clip

    @property
    def clips_per_second(self) -> float | None:
        """Return the clips that one process reads in a second; None before the first."""
        num_clips, seconds = self._totals[:]
        return num_clips / seconds if seconds else None
