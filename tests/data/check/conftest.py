"""A folder of data without fault, and a check of it that keeps its index apart."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from sam2_video.config import DatasetConfig
from sam2_video.data.check import CheckReport, inspect_data, summarise

SIZE = HEIGHT, WIDTH = 48, 64
NUM_FRAMES = 8


def write_frame(path: Path, seed: int, index: int, size: tuple[int, int] = SIZE) -> None:
    """Write a frame of a scene of its own, which changes a little from frame to frame."""
    rough = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    picture = cv2.resize(rough, size[::-1], interpolation=cv2.INTER_CUBIC)
    picture[2 * index : 2 * index + 4, :9] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture)


def write_mask(path: Path, *boxes: tuple[int, int, int, int], size: tuple[int, int] = SIZE) -> None:
    """Write a mask whose objects are boxes: top, left, height, width."""
    labels = np.zeros(size, dtype=np.uint8)
    for number, (top, left, height, width) in enumerate(boxes, start=1):
        labels[top : top + height, left : left + width] = number
    image = Image.fromarray(labels)
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0] + 753 * [128])
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """Keep indices out of the user's cache, and return where they are."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sam2_video" / "index"


@pytest.fixture
def data(tmp_path) -> Path:
    """A DAVIS tree of four videos, with split lists, in which nothing is wrong."""
    root = tmp_path / "data"
    for number, name in enumerate("abcd"):
        for index in range(NUM_FRAMES):
            write_frame(root / "JPEGImages" / name / f"{index}.jpg", number, index)
            mask = root / "Annotations" / name / f"{index}.png"
            write_mask(mask, (4, 4 + index, 16, 20), (30, 30, 12, 16))
    lists = root / "ImageSets"
    lists.mkdir()
    (lists / "train.txt").write_text("a\nb\nc")
    (lists / "val.txt").write_text("d")
    return root


@pytest.fixture
def check() -> Callable[..., CheckReport]:
    """Return a function that checks with some settings of the section `dataset`."""

    def run(data: Path, *, full: bool = False, keep_index: bool = True, **settings) -> CheckReport:
        config = DatasetConfig(
            data_path=str(data), **{"image_size": [256, 256], "video_clip_length": 4} | settings
        )
        inspection = inspect_data(config, 0, full=full, keep_index=keep_index)
        return summarise(inspection)

    return run


def found(report: CheckReport) -> list[tuple]:
    """Return grade, kind, video, frame and object of each finding."""
    return [(f.grade, f.kind, f.video, f.frame, f.object_id) for f in report.findings]
