"""Builders of tiny data sets and of what is wrong with them."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from loguru import logger
from PIL import Image

HEIGHT, WIDTH = 24, 32
MaskRows = Sequence[Sequence[int] | None]


def make_mask(object_ids: Sequence[int]) -> np.ndarray:
    """Return a mask on which each object has a square of its own."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    for object_id in object_ids:
        column = 4 * (object_id % 8)
        mask[4:10, column : column + 3] = object_id
    return mask


def write_video(frames_dir: Path, masks_dir: Path, rows: MaskRows, suffix: str = ".png") -> None:
    """Write frames and, for each frame, a mask of the objects in its row; none for None."""
    frames_dir.mkdir(parents=True, exist_ok=True)
    masks_dir.mkdir(parents=True, exist_ok=True)
    for i, objects in enumerate(rows):
        image = np.full((HEIGHT, WIDTH, 3), i, dtype=np.uint8)
        cv2.imwrite(str(frames_dir / f"frame_{i}{suffix}"), image)
        if objects is not None:
            Image.fromarray(make_mask(objects)).save(masks_dir / f"frame_{i}.png")


@pytest.fixture
def video_directory(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a video directory from rows of objects a frame."""

    def build(**videos: MaskRows) -> Path:
        for name, rows in videos.items():
            write_video(tmp_path / "data" / name, tmp_path / "data" / name / "masks", rows)
        return tmp_path / "data"

    return build


@pytest.fixture
def log() -> Iterator[list[str]]:
    """Return the list to which every log message is added."""
    messages: list[str] = []
    sink = logger.add(lambda message: messages.append(message.record["message"]), level="DEBUG")
    yield messages
    logger.remove(sink)
