"""A small generated data set, and runs on it with a cache."""

from pathlib import Path

import pytest

from sam2_video.configuration import load_config
from sam2_video.data.synthetic import write_dataset
from tests.training.conftest import SMALL


@pytest.fixture
def data(tmp_path) -> Path:
    """Return a folder of 4 videos of 6 frames with 1 or 2 objects."""
    folder = tmp_path / "data"
    write_dataset(folder, 3, num_videos=4, num_frames=6, size=(48, 64), num_objects=(1, 2))
    return folder


@pytest.fixture
def configure(data, tmp_path):
    """Return a function that makes a configuration with a cache, from what differs."""

    def make(**overrides):
        given = {name.replace("__", "."): value for name, value in overrides.items()}
        paths = {
            "dataset.data_path": str(data / "videos"),
            "dataset.masks_path": str(data / "masks"),
            "dataset.val_fraction": 0.0,
            "dataset.feature_cache": str(tmp_path / "cache"),
            "dataset.feature_cache_dtype": "fp32",
            "output_dir": str(tmp_path / "run"),
        }
        return load_config(None, SMALL | paths | given)

    return make
