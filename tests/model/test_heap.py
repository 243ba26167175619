"""What a training step on a CPU frees is kept for the next one."""

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

import torch

from sam2_video.model.heap import keep_freed_blocks

def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

if sys.argv[1] != "as it is":
    assert keep_freed_blocks() is (sys.argv[1] == "kept")
blocks = [torch.ones(2**19) for _ in range(60)]
before = held()
blocks.clear()
print(before - held())
"""

LARGE_PAGES = """
import re
from pathlib import Path

import torch

from sam2_video.model import heap

def in_large_pages():
    return int(re.search(r"AnonHugePages: *(\\d+)", Path("/proc/self/smaps_rollup").read_text())[1])

heap.keep_freed_blocks()
blocks = [torch.ones(2**19) for _ in range(60)]
before, sums = in_large_pages(), [block.sum() for block in blocks]
asked = [heap.put_into_large_pages(), heap.put_into_large_pages()]
found = in_large_pages() - before
assert [block.sum() for block in blocks] == sums
print(*asked, found // 1024)
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc to read")


def freed(how, **environment):
    """Return how many MB of 120 that were freed have gone back."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how],
        check=True,
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")} | environment,
    )
    return float(done.stdout)


def test_what_is_freed_is_kept():
    assert freed("as it is") > 100
    assert freed("kept") < 2


def test_who_has_set_a_threshold_keeps_it():
    assert freed("refused", MALLOC_MMAP_THRESHOLD_="65536") > 100


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="no Linux")
def test_what_the_heap_holds_is_put_into_large_pages_once():
    done = subprocess.run(
        [sys.executable, "-c", LARGE_PAGES],
        check=True,
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")},
    )
    first, second, moved = done.stdout.split()
    assert (first, second) == ("True", "False")
    if moved == "0":
        pytest.skip("this Linux has no large pages to give")
    assert int(moved) > 100


@pytest.mark.parametrize(
    ("recomputed", "asked"), [("none", ["keep", "large"]), ("light", ["keep"])]
)
def test_training_asks_for_it(recomputed, asked, monkeypatch):
    calls = []
    monkeypatch.setattr(objective, "keep_freed_blocks", lambda: calls.append("keep"))
    monkeypatch.setattr(objective, "put_into_large_pages", lambda: calls.append("large"))
    config = load_config(None, {"prompts.corrected_frames": 0})
    model = micro_model(["memory_encoder"])
    lesson = objective.draw_lesson(make_largest_clip(2, 2, (64, 64)), (64, 64), config.prompts)
    objective.learn_from(model, lesson, config.losses, activation_checkpointing=recomputed)
    assert calls == asked
