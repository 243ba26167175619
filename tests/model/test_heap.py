"""What a training step on a CPU frees is kept for the next one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sam2_video.configuration import load_config
from sam2_video.model.heap import joining_environment
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

GROWTH = """
import random
from pathlib import Path

import torch

from sam2_video.model.heap import keep_freed_blocks

def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

keep_freed_blocks()
draw, before = random.Random(0), held()
sizes = [2**18, 3 * 2**18, 2**19, 2**20]
large, small = [torch.ones(draw.choice(sizes)) for _ in range(40)], []
for _ in range(2000):
    large[draw.randrange(40)] = torch.ones(draw.choice(sizes))
    small.append(torch.zeros(2))
print(held() - before)
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc to read")


def say(program, *arguments, **environment):
    """Run a program in an environment with no settings of glibc but those given."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        check=True,
        capture_output=True,
        text=True,
        env=plain | environment,
    )
    return done.stdout


def freed(how, **environment):
    """Return how many MB of 120 that were freed have gone back."""
    return float(say(PROGRAM, how, **environment))


def test_what_is_freed_is_kept():
    assert freed("as it is") > 100
    assert freed("kept") < 2


def test_who_has_set_a_threshold_keeps_it():
    assert freed("refused", MALLOC_MMAP_THRESHOLD_="65536") > 100


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="no Linux")
def test_what_the_heap_holds_is_put_into_large_pages_once():
    first, second, moved = say(LARGE_PAGES).split()
    assert (first, second) == ("True", "False")
    if moved == "0":
        pytest.skip("this Linux has no large pages to give")
    assert int(moved) > 100


@pytest.mark.skipif(not joining_environment({}), reason="no glibc")
def test_a_process_that_joins_what_is_freed_grows_less():
    # of blocks of 1 to 4 MB, 92 MB in all, which are exchanged while small ones stay
    assert float(say(GROWTH, **joining_environment({}))) < float(say(GROWTH)) / 2


@pytest.mark.skipif(not joining_environment({}), reason="no glibc")
@pytest.mark.parametrize(
    ("environment", "added"),
    [
        ({}, "glibc.malloc.tcache_count=0"),
        ({"GLIBC_TUNABLES": "glibc.rtld.nns=4"}, "glibc.rtld.nns=4:glibc.malloc.tcache_count=0"),
        ({"GLIBC_TUNABLES": "glibc.malloc.tcache_count=7"}, None),
        ({"MALLOC_TOP_PAD_": "65536"}, None),
    ],
)
def test_settings_of_the_environment_stay(environment, added):
    expected = {} if added is None else {"GLIBC_TUNABLES": added}
    assert joining_environment(environment) == expected


def test_other_systems_have_no_such_setting(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert joining_environment({}) == {}


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
