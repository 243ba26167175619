"""Mask folders in a few words."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SIZE = (20, 30)


def draw(*objects, size=SIZE):
    """Return a label map; each object is (value, left) and fills columns left to left + 4."""
    labels = np.zeros(size, dtype=np.uint8)
    for value, left in objects:
        labels[5:15, left : left + 5] = value
    return labels


class Folder:
    """Writes masks below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, name, labels, **options):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(labels).save(path, **options)

    def video(self, video, frames, suffix=".png"):
        """Write label maps 0, 1, ...; each frame is a tuple of objects for `draw`."""
        for index, objects in enumerate(frames):
            self.write(f"{video}/{index}{suffix}", draw(*objects))

    def masklets(self, video, **objects):
        """Write binary masks of each object (`o000` -> folder 000); None is an empty mask."""
        for name, lefts in objects.items():
            for index, left in enumerate(lefts):
                labels = draw() if left is None else draw((255, left))
                self.write(f"{video}/{name.removeprefix('o')}/{index}.png", labels)


@pytest.fixture
def truth(tmp_path):
    return Folder(tmp_path / "truth")


@pytest.fixture
def predictions(tmp_path):
    return Folder(tmp_path / "predictions")
