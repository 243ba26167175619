"""The masks of a whole video as run lengths in a temporary file: a frame's are read at once."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from sam2_video.masks import Rle


@dataclass(frozen=True)
class StoredMask:
    """The mask of an object on a frame, and the probability that the object is visible there."""

    rle: Rle
    score: float


class MaskStore:
    """Masks by frame and object, on disk, so that a long video fills no memory.

    Use as a context: leaving it removes the file.
    """

    def __init__(self, folder: Path) -> None:
        # unbuffered: what does not fit on a full disk fails where it is written, not when closing
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        self._places: dict[int, list[tuple[int, int]]] = {}

    def __enter__(self) -> "MaskStore":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def frames(self) -> list[int]:
        """Return the frames that have masks, rising."""
        return sorted(self._places)

    def add(self, index: int, masks: Mapping[int, StoredMask]) -> None:
        """Keep masks of a frame, beside those that are kept of it."""
        content = json.dumps([[name, mask.rle, mask.score] for name, mask in masks.items()])
        left = memoryview(content.encode())
        place = self._file.seek(0, 2)
        self._places.setdefault(index, []).append((place, len(left)))
        while left:
            left = left[self._file.write(left) :]

    def read(self, index: int) -> dict[int, StoredMask]:
        """Return the masks of a frame by rising object; of two that are kept the first."""
        found: dict[int, StoredMask] = {}
        for place, length in self._places.get(index, ()):
            self._file.seek(place)
            for name, rle, score in json.loads(self._file.read(length)):
                found.setdefault(name, StoredMask(rle, score))
        return dict(sorted(found.items()))
