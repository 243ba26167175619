"""`python -m benchmarks.inference`: speed and memory of tracking whole videos.

With `--compare` ours, Meta's video predictor and transformers' session take turns on one video
with the same weights, A B C A B C. Without it ours is measured on long videos. Each measurement is
a process of its own, so that peaks do not mix. Frames of long videos are drawn as they are asked
for: the video takes no memory. Weights are random; they decide about neither.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.machine import describe_commit, describe_machine, describe_versions
from benchmarks.performance_page import write_page
from benchmarks.turns import Worker
from sam2_video.files import write_json
from sam2_video.inference import FrameMasks, track
from sam2_video.model.sam2 import SAM2Model
from sam2_video.model.stream import ObjectPrompt

RESULT = Path(__file__).with_name("results") / "inference.json"
EARLY = 500
"""The frame after which memory must not grow any more."""


@dataclass(frozen=True)
class Case:
    """What is tracked: squares, all of them given as masks on the first frame."""

    architecture: str
    side: int
    frames: int
    objects: int
    max_objects: int
    frame_size: tuple[int, int]


CASES = (
    Case("micro", 128, 100, 3, 16, (128, 128)),
    Case("micro", 128, 2_000, 3, 16, (128, 128)),
    Case("micro", 128, 10_000, 3, 16, (128, 128)),
    Case("sam2.1-tiny", 512, 4, 60, 60, (512, 512)),
    Case("sam2.1-tiny", 512, 4, 60, 16, (512, 512)),
    Case("sam2.1-tiny", 512, 2, 60, 16, (2160, 3840)),
)


class DrawnFrames(Sequence[Tensor]):
    """Frames of noise of one brightness, drawn when they are asked for."""

    def __init__(self, length: int, size: tuple[int, int]) -> None:
        self._length = length
        self._size = size

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Tensor:  # pyright: ignore
        if index >= self._length:
            raise IndexError(index)
        generator = torch.Generator().manual_seed(index)
        shape = (3, *self._size)
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def make_prompts(count: int, size: tuple[int, int]) -> list[ObjectPrompt]:
    """Return a square for each object, in rows."""
    height, width = size
    prompts = []
    for number in range(count):
        top, left = (number // 8) * height // 8, (number % 8) * width // 8
        mask = torch.zeros(size, dtype=torch.bool)
        mask[top : top + height // 10, left : left + width // 10] = True
        prompts.append(ObjectPrompt(number + 1, 0, mask=mask))
    return prompts


def measure(case: Case) -> dict[str, float]:
    """Track a video in this process."""
    torch.set_num_threads(1)
    model = SAM2Model.load(None, case.architecture, (case.side, case.side))
    frames = DrawnFrames(case.frames, case.frame_size)
    prompts = make_prompts(case.objects, case.frame_size)
    before = read_memory("VmRSS")
    start = time.perf_counter()
    found: dict[str, float] = {}
    for frame in track(model, frames, prompts, max_objects=case.max_objects):
        # what evaluation does with it: one label a pixel
        FrameMasks(frame, "davis").labels.sum()
        if frame.index == EARLY:
            found["mb_at_frame_500"] = read_memory("VmRSS")
    seconds = time.perf_counter() - start
    found["mb_at_the_end"] = read_memory("VmRSS")
    found["mb_before"] = before
    found["mb_peak"] = read_memory("VmHWM")
    found["frames_per_second"] = case.frames / seconds
    return {name: round(value, 4) for name, value in found.items()}


@dataclass(frozen=True)
class Comparison:
    """A video of noise at the network's size, with objects given as masks on its first frame."""

    architecture: str
    side: int
    frames: int
    objects: int


# transformers' session fails on the micro network, whose pointers are as wide as its memory
QUICK = [Comparison("sam2.1-tiny", 128, 12, count) for count in (1, 3)]
COMPARISONS = [*QUICK, *(Comparison("sam2.1-tiny", 512, 16, count) for count in (1, 3))]
COMPARED = RESULT.with_name("trackers.json")
TRACKERS = ("ours", "meta", "transformers")


def compare(comparison: Comparison, rounds: int) -> dict[str, Any]:
    """Let all track the same video in turns; return frames/s, and ours to each of the others'."""
    workers: dict[str, Worker] = {}
    runs: dict[str, list[dict[str, Any]]] = {who: [] for who in TRACKERS}
    try:
        for who in TRACKERS:
            task = {"who": who, **asdict(comparison)}
            workers[who] = Worker("benchmarks.inference_worker", task)
        for _ in range(rounds):
            for who, worker in workers.items():
                runs[who].append(worker.ask({}))
    finally:
        for worker in workers.values():
            worker.close()
    speeds = {who: [comparison.frames / run["seconds"] for run in runs[who]] for who in TRACKERS}
    ratios = {
        who: [ours / theirs for ours, theirs in zip(speeds["ours"], speeds[who], strict=True)]
        for who in TRACKERS[1:]
    }
    return {
        **asdict(comparison),
        "frames_per_second": {who: median(values) for who, values in speeds.items()},
        "ratios": {who: {"median": median(x), "all": x} for who, x in ratios.items()},
        "peak_gb": {who: max(run["peak_gb"] for run in runs[who]) for who in TRACKERS},
        "loaded_gb": {who: worker.prepared["loaded_gb"] for who, worker in workers.items()},
        "runs": runs,
    }


def compare_all(comparisons: Sequence[Comparison], rounds: int) -> dict[str, Any]:
    """Return what all comparisons came to, and on what machine."""
    found = {
        "machine": describe_machine(),
        "versions": describe_versions(),
        "commit": describe_commit(),
        "cases": [],
    }
    for comparison in comparisons:
        found["cases"].append(compare(comparison, rounds))
        case = {key: value for key, value in found["cases"][-1].items() if key != "runs"}
        print(json.dumps(case), flush=True)
    return found


def read_memory(name: str) -> float:
    """Return a line of /proc/self/status in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1000


def main() -> int:
    """Run every case, or one in this process, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", type=int, help="measure this one here, and print it")
    parser.add_argument("--compare", action="store_true", help="with Meta's and transformers'")
    parser.add_argument("--quick", action="store_true", help="small frames; only printed")
    parser.add_argument("--rounds", type=int, default=3, help="turns of a comparison")
    options = parser.parse_args()
    if options.compare:
        found = compare_all(QUICK if options.quick else COMPARISONS, options.rounds)
        if not options.quick:
            write_json(COMPARED, found)
            write_page()
        return 0
    chosen = options.case
    if chosen is not None:
        print(json.dumps(measure(CASES[chosen])))
        return 0
    results = []
    for number, case in enumerate(CASES):
        command = [sys.executable, "-m", "benchmarks.inference", "--case", str(number)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        results.append({**asdict(case), **json.loads(done.stdout.splitlines()[-1])})
        print(json.dumps(results[-1]))
    machine = {"torch": torch.__version__, "cores": os.cpu_count(), "cpu": platform.processor()}
    machine |= {"threads": 1, "load_average": os.getloadavg()[0]}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"machine": machine, "cases": results}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
