"""Freed blocks go back to the system where a training asks for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sam2_video.configuration import load_config
from sam2_video.training import objective
from sam2_video.training.largest import make_largest_clip
from tests.model.micro import micro_model

PROGRAM = """
import sys
from pathlib import Path
from sam2_video.training.allocator import give_back_freed_blocks, keep_freed_blocks

def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

if sys.argv[1] == "yes":
    assert give_back_freed_blocks() is (sys.argv[2] == "can")
if sys.argv[1] == "keep":
    assert keep_freed_blocks()
large = b"1" * 2**24  # after it is freed glibc takes smaller ones from its heap
del large
blocks = [b"1" * 2**21 for _ in range(40)]
before = held()
del blocks[:: 1 if sys.argv[1] == "keep" or sys.argv[2] == "all" else 2]
print(before - held())
"""


def freed(*arguments, **environment):
    """Return how many MB of what was freed, between others or all, have gone back."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )
    return float(done.stdout)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc to read")
def test_what_is_freed_goes_back():
    assert freed("no", "") < 2
    assert freed("yes", "can") > 18


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc to read")
def test_what_is_freed_is_kept():
    assert freed("no", "all") > 30
    assert freed("keep", "") < 2


def test_who_has_set_the_threshold_keeps_it():
    assert freed("yes", "cannot", MALLOC_MMAP_THRESHOLD_="33554432") < 2


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        ({}, {"keep"}),
        ({"activation_checkpointing": "cheap"}, set()),
        ({"activation_checkpointing": "frames"}, {"give back"}),
        ({"objects_at_once": 1}, {"give back"}),
    ],
)
def test_training_that_computes_frames_twice_gives_back(settings, asked, monkeypatch):
    calls = set()
    monkeypatch.setattr(objective, "give_back_freed_blocks", lambda: calls.add("give back"))
    monkeypatch.setattr(objective, "keep_freed_blocks", lambda: calls.add("keep"))
    config = load_config(None, {"prompts.corrected_frames": 0})
    model = micro_model(["memory_encoder"])
    lesson = objective.draw_lesson(make_largest_clip(2, 2, (64, 64)), (64, 64), config.prompts)
    objective.learn_from(model, lesson, config.losses, **settings)
    assert calls == asked
