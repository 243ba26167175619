"""Two processes: parts of a batch, the batch size that fits both, memory that runs out in one."""

import os
import subprocess
import sys

import pytest
import torch

from sam2_video.configuration import load_config, save
from sam2_video.training.trainer import MemoryTuner
from tests.training.conftest import measured

CLICKED = {
    "model__trainable_modules": ["memory", "mask_decoder"],
    "dataset__val_fraction": 0.0,
    "dataset__clips_per_video": 2,
    "prompts__mask": 0.0,
    "prompts__corrected_frames": 2,
    "prompts__correction_clicks": 2,
}
"""Clips of several objects, each corrected on two frames; nothing is validated."""

# what differs between the processes stands in a line of its own before train.py's
SCRIPT = """
import os, sys
from dataclasses import replace
from pathlib import Path
import torch
from sam2_video.cli.train import run_train
from sam2_video.training import batch_size, objective, run
from sam2_video.training.trainer import MemoryTuner

rank, folder = int(os.environ.get("LOCAL_RANK", "0")), Path(__file__).parent
train_on, clip = MemoryTuner.training_step, MemoryTuner.configure_gradient_clipping

def training_step(self, batch, batch_idx):
    with (folder / f"clips{rank}").open("a") as file:
        file.write(f"{batch.num_clips} ")
    return train_on(self, batch, batch_idx)

def keep_gradient(self, *args, **kwargs):
    gradient = {n: p.grad for n, p in self.model.named_parameters() if p.grad is not None}
    torch.save(gradient, folder / f"gradient{rank}.pt")
    clip(self, *args, **kwargs)

MemoryTuner.training_step = training_step
MemoryTuner.configure_gradient_clipping = keep_gradient
"""
END = "sys.exit(run_train(sys.argv[1:]))\n"


def launch(folder, config, difference=""):
    """Train with two processes; return what the main one said, once all have ended."""
    save(config, folder / "config.yaml")
    (folder / "run.py").write_text(SCRIPT + difference + END)
    return subprocess.run(
        [sys.executable, str(folder / "run.py"), "--config", str(folder / "config.yaml")],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def clips_of(folder):
    """Return how many clips the batches of each process had."""
    return [(folder / f"clips{rank}").read_text().split() for rank in (0, 1)]


UNEQUAL = """
def choose(config, model, datamodule, *_):
    batch_size._set_batch_size(datamodule, (3, 2)[rank])
    return replace(config, dataset=datamodule.config)
run.choose_batch_size = choose

track = objective._track
def too_large(*args):
    part = args[5]
    # the first batch fits: what was learned from it must not count
    if rank == 1 and len((folder / "clips1").read_text().split()) > 1 and part.end - part.first > 1:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
    return track(*args)
objective._track = too_large
"""


def test_both_take_what_fits_the_smaller_one_and_learn_as_one_process(
    configure, run, tmp_path, monkeypatch
):
    """The second finds a smaller batch, and runs out of memory with more than one object of it."""
    settings = {"dataset__max_objects": 2, "trainer__max_steps": 1, "trainer__accumulate": 2}
    expected, clip = {}, MemoryTuner.configure_gradient_clipping

    def keep_gradient(self, *args, **kwargs):
        named = self.model.named_parameters()
        expected.update({n: p.grad.clone() for n, p in named if p.grad is not None})
        clip(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(MemoryTuner, "configure_gradient_clipping", keep_gradient)
        run(tmp_path / "one", dataset__batch_size=4, **CLICKED, **settings)
    config = configure(tmp_path / "two", trainer__devices=2, **CLICKED, **settings)
    done = launch(tmp_path, config, UNEQUAL)
    assert done.returncode == 0, done.stderr
    assert "another process holds 2 clips only" in done.stderr
    assert done.stderr.count("out of memory: ") == done.stderr.count("starting again") == 2
    found = load_config(tmp_path / "two/config.yaml")
    assert found.dataset.batch_size == 2
    assert (found.trainer.clips_at_once, found.trainer.objects_at_once) == (1, 1)
    first, second = clips_of(tmp_path)
    assert first == second
    assert set(first) == {"2"}
    assert measured(tmp_path / "two") == [pytest.approx(measured(tmp_path / "one")[0], rel=1e-4)]
    norm = float(torch.stack([value.norm() for value in expected.values()]).norm())
    assert norm > 0
    for rank in (0, 1):
        found = torch.load(tmp_path / f"gradient{rank}.pt", weights_only=True)
        # what nothing reached has no gradient in one process, and one of 0 where they are joined
        assert not any(found[name].any() for name in found.keys() - expected.keys())
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, atol=1e-6 * norm, rtol=1e-4, msg=name)


SHORT_BACKWARD = """
track, tracked = objective._track, []
def too_large(*args):
    tracked.append(args[5])
    # two clips, then the first that is computed again
    if rank == 1 and len(tracked) == 3:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
    return track(*args)
objective._track = too_large
"""


def test_memory_that_runs_out_in_one_backward_pass_ends_both_with_one_error(configure, tmp_path):
    settings = {"dataset__max_objects": 2, "dataset__batch_size": 2, "trainer__clips_at_once": 1}
    config = configure(tmp_path / "two", **CLICKED, **settings, trainer__devices=2)
    done = launch(tmp_path, config, SHORT_BACKWARD)
    assert done.returncode != 0
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: out of")]
    assert (
        "start again with --trainer.objects-at-once 1, which learns the same (in the back" in error
    )
    assert "Traceback" not in done.stderr
