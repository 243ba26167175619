"""A small generated data set and a configuration that trains on it in a second."""

from pathlib import Path

import pytest

from sam2_video.configuration import load_config
from sam2_video.data.synthetic import write_dataset
from sam2_video.training.folder import read_rows
from sam2_video.training.run import train

SMALL = {
    "model.config_path": "micro",
    "dataset.image_size": [64, 64],
    "dataset.video_clip_length": 3,
    "dataset.num_workers": 0,
    "trainer.max_epochs": 2,
    "trainer.accelerator": "cpu",
    "trainer.precision": "32-true",
    "trainer.lr": 1e-3,
    "use_wandb": False,
}


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """Return a folder of 5 videos: 4 to train on, with 1 to 3 objects, and 1 to validate on."""
    folder = tmp_path_factory.mktemp("generated") / "data"
    write_dataset(folder, 3, num_videos=5, num_frames=6, size=(48, 64), num_objects=(1, 3))
    return folder


@pytest.fixture(scope="session")
def configure(data):
    """Return a function that makes the configuration of a run from what differs."""

    def make(output_dir, **overrides):
        # dots are no part of keywords: trainer__lr stands for trainer.lr
        given = {name.replace("__", "."): value for name, value in overrides.items()}
        paths = {
            "dataset.data_path": str(data / "videos"),
            "dataset.masks_path": str(data / "masks"),
            "output_dir": str(output_dir),
        }
        return load_config(None, SMALL | paths | given)

    return make


@pytest.fixture(scope="session")
def run(configure):
    """Return a function that trains in a folder and returns the result."""

    def train_in(output_dir, **overrides):
        return train(configure(output_dir, **overrides))

    return train_in


@pytest.fixture
def draws_pictures():
    """Ask for the pictures of a run, which take as long as the rest of it."""


@pytest.fixture(autouse=True)
def no_pictures(request, monkeypatch):
    """Leave the pictures out, except where a test asks for them."""
    if "draws_pictures" not in request.fixturenames:
        monkeypatch.setattr("sam2_video.training.pictures.draw", lambda *_: None)


def measured(output_dir, *, prefixes=("train/", "val/", "lr", "grad")):
    """Return the rows of a run's metrics.csv without what depends on the machine's speed."""
    rows = read_rows(Path(output_dir) / "metrics.csv")
    return [
        {name: row[name] for name in row if name in ("step", "epoch") or name.startswith(prefixes)}
        for row in rows
    ]
