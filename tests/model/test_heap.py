"""Freed memory is kept, or goes back where a training asks for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sam2_video.configuration import load_config
from sam2_video.model import heap, unroll
from sam2_video.training import objective
from sam2_video.training.largest import make_largest_clip
from tests.model.micro import micro_model

PROGRAM = """
import sys
from pathlib import Path

import torch

from sam2_video.model.heap import give_back_around, give_back_freed_blocks, keep_freed_blocks

def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

CPU = torch.device("cpu")
if sys.argv[1] != "as it is":
    assert keep_freed_blocks() is (sys.argv[2] == "can")
for _ in range(2):  # what is held, and how little it grows
    give_back_freed_blocks(CPU)
passed = torch.ones(1, requires_grad=True) * 1
if sys.argv[1] == "when it is differentiated":
    give_back_around(passed)
blocks = [torch.ones(2**19) for _ in range(60)]
before = held()
del blocks[::2]
if sys.argv[1] == "now":
    give_back_freed_blocks(CPU)
if sys.argv[1] == "when it is differentiated":
    passed.backward()
if sys.argv[1] == "as it is" or sys.argv[1] == "all":
    blocks.clear()
print(before - held())
"""


def freed(*arguments, **environment):
    """Return how many MB of 120, every second block of which was freed, have gone back."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        check=True,
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")} | environment,
    )
    return float(done.stdout)


needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc to read")


@needs_proc
@pytest.mark.parametrize("when", ["now", "when it is differentiated"])
def test_what_is_freed_between_others_goes_back(when):
    assert freed(when, "can") > 50


@needs_proc
def test_what_is_freed_is_kept():
    assert freed("as it is", "") > 100
    assert freed("all", "can") < 2


@needs_proc
def test_who_has_set_a_threshold_keeps_it():
    assert freed("all", "cannot", MALLOC_MMAP_THRESHOLD_="65536") > 100


def test_only_what_is_more_than_a_step_needs_goes_back(monkeypatch):
    """In MB: 100 are held for good, a frame takes 200, of which 60 stay for backward."""
    held, trims = 100, []
    monkeypatch.setattr(heap, "_resident_bytes", lambda: held * 2**20)

    def trim(_):
        nonlocal held
        held = lasting
        trims.append(held)

    watched = heap._Heap()
    for lasting in [100, 160, 220, 220, 220, 160, 100] * 3:
        held = max(held, lasting + 140) + 20  # the heap grows by what does not fit
        watched.trim_if_large(trim)
    # the first step learns what it needs, later ones go on with it
    assert len(trims) < 10
    assert watched.needed == 220 * 2**20
    assert held <= 100 + 220 + 200


@pytest.mark.parametrize(
    ("settings", "are_frames", "are_parts"),
    [
        ({}, False, False),
        ({"activation_checkpointing": "clicks"}, False, False),
        ({"activation_checkpointing": "light"}, True, False),
        ({"activation_checkpointing": "cheap"}, True, False),
        ({"activation_checkpointing": "frames"}, True, False),
        ({"objects_at_once": 1}, False, True),
    ],
)
def test_training_gives_back_between_frames_or_parts_where_memory_is_short(
    settings, are_frames, are_parts, monkeypatch
):
    calls = set()
    monkeypatch.setattr(objective, "keep_freed_blocks", lambda: calls.add("keep"))
    monkeypatch.setattr(objective, "give_back_freed_blocks", lambda _: calls.add("part"))
    monkeypatch.setattr(unroll, "give_back_around", lambda _: calls.add("frame"))
    config = load_config(None, {"prompts.corrected_frames": 0})
    model = micro_model(["memory_encoder"])
    lesson = objective.draw_lesson(make_largest_clip(2, 2, (64, 64)), (64, 64), config.prompts)
    objective.learn_from(model, lesson, config.losses, **settings)
    assert calls == {"keep"} | ({"frame"} if are_frames else set()) | (
        {"part"} if are_parts else set()
    )
