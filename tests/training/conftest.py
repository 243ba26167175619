"""A small generated data set and a configuration that trains on it in a second."""

import os
import shutil
from pathlib import Path

import pytest
import torch

from sam2_video import SAM2Model
from sam2_video.configuration import load_config
from sam2_video.data.datamodule import ClipDataModule
from sam2_video.data.synthetic import write_dataset
from sam2_video.files import read_numbers
from sam2_video.training.run import train
from sam2_video.training.trainer import MemoryTuner

SMALL = {
    "model.config_path": "micro",
    "dataset.image_size": [64, 64],
    "dataset.video_clip_length": 3,
    "dataset.num_workers": 0,
    # numbers that are known by hand are those of the clips as they are
    "augmentation.preset": "off",
    "prompts.conditioning_frames": 1,
    "prompts.corrected_frames": 0,
    "trainer.max_epochs": 2,
    "trainer.accelerator": "cpu",
    "trainer.precision": "32-true",
    "trainer.lr": 1e-3,
    # they take as long as the rest of a run that is so small
    "trainer.pictures_every": 0,
    "use_wandb": False,
}


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """Return a folder of 5 videos: 4 to train on, with 1 to 3 objects, and 1 to validate on."""
    folder = tmp_path_factory.mktemp("generated") / "data"
    write_dataset(folder, 3, num_videos=5, num_frames=6, size=(48, 64), num_objects=(1, 3))
    return folder


@pytest.fixture
def own(data, tmp_path):
    """Return settings that lead to a copy of the data, which a test may damage."""
    copied = shutil.copytree(data, tmp_path / "data")
    return {
        "dataset__data_path": str(copied / "videos"),
        "dataset__masks_path": str(copied / "masks"),
    }


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


def at_call(monkeypatch, method, number, action):
    """Do something just before the n-th call (from 0) of a method of the module."""
    original = getattr(MemoryTuner, method)
    calls = []

    def wrapped(self, *args):
        calls.append(args)
        if len(calls) == number + 1:
            action()
        return original(self, *args)

    monkeypatch.setattr(MemoryTuner, method, wrapped)


def cut_off(frames):
    """Damage the frames of a video but for the first, which tells its size when it is opened."""
    for frame in sorted(frames.iterdir())[1:]:
        frame.write_bytes(frame.read_bytes()[:200])


def trained_videos(config):
    """Return the folders of the videos that are trained on, in their order."""
    module = ClipDataModule(config.dataset, config.seed)
    module.setup()
    assert config.dataset.data_path is not None
    return [Path(config.dataset.data_path) / video.video_id for video in module.train_videos]


def send(number):
    return lambda: os.kill(os.getpid(), number)


def answer_with(monkeypatch, values):
    """Let the validations of a run come to these J&F, one after another; J says something else."""
    values = iter(values)

    def compute(metric):
        jf = next(values)
        scores = {"jf": jf, "j": 1 - jf, "f": 2 * jf - (1 - jf), "num_objects": 1.0}
        return {name: torch.tensor(value) for name, value in scores.items()}

    monkeypatch.setattr("sam2_video.metrics.RegionAndBoundary.compute", compute)


def network_of(checkpoint):
    """Return the weights of the network in a training checkpoint."""
    content = torch.load(checkpoint, weights_only=True)["state_dict"]
    prefix = "model.network."
    return {n.removeprefix(prefix): v for n, v in content.items() if n.startswith(prefix)}


def assert_loads_as(path, weights):
    loaded = SAM2Model.load(str(path), image_size=(64, 64)).network.state_dict()
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(value, weights[name]) for name, value in loaded.items())


def measured(output_dir, *, prefixes=("train/", "val", "lr", "grad")):
    """Return the rows of a run's metrics.csv without what depends on the machine's speed."""
    rows = read_numbers(Path(output_dir) / "metrics.csv")
    return [
        {name: row[name] for name in row if name in ("step", "epoch") or name.startswith(prefixes)}
        for row in rows
    ]
