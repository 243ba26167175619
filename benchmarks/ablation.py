"""`python -m benchmarks.ablation`: what helps on the demo's videos, one change at a time.

Each run fine-tunes the demo's network in a process of its own with one thread, and is scored on
test videos. Runs already in the result's file are kept, unless their settings have changed since:
an ablation that was stopped goes on. `--page` only writes the table into docs/results.md.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks.ablation_page import PAGE, write_section
from benchmarks.ablation_variants import BASE, BY_NAME, Variant, describe, name_of, plan
from demo.run import CHECKPOINT, load, make_data
from sam2_video import SAM2Model, train
from sam2_video.data.layout import open_dataset
from sam2_video.data.video import Video
from sam2_video.evaluation import evaluate_video, mean_over_objects
from sam2_video.files import write_json
from sam2_video.structures import PromptKind
from sam2_video.training.folder import BEST, CHECKPOINTS, SUMMARY

RESULTS = Path(__file__).with_name("results") / "ablation.json"
RUNS = Path("runs/ablation")
DATA = Path("runs/demo-data")
NUM_TEST_VIDEOS = 24
SCORES = {
    "mask": {},
    "point": {"kind": PromptKind.POINT},
    "point, 3 clicks": {"kind": PromptKind.POINT, "clicks": 3},
    "mask, memory emptied": {"is_memory_used": False},
}
"""How each network is scored: the arguments of `evaluate_video`."""


def measure(variant: Variant, seed: int) -> dict[str, Any]:
    """Train one variant, score it, and return its row."""
    torch.set_num_threads(1)
    row: dict[str, Any] = {"variant": variant.name, "seed": seed, **describe(variant)}
    checkpoint = CHECKPOINT
    if variant.changes is not None:
        out = RUNS / name_of(variant, seed)
        begun = time.process_time()
        checkpoint = _train(variant, seed, out)
        row["cpu_seconds"] = time.process_time() - begun
        told = json.loads((out / SUMMARY).read_text())
        names = ("steps", "training_seconds", "peak_memory_gb", "trainable_parameters")
        row |= {name: told[name] for name in names}
    videos = open_dataset(DATA / "test/videos", DATA / "test/masks")[:NUM_TEST_VIDEOS]
    model = load(checkpoint)
    return row | {"j": {name: _score(model, videos, how) for name, how in SCORES.items()}}


def _train(variant: Variant, seed: int, out: Path) -> Path:
    checkpoint = CHECKPOINT
    if variant.start is not None:
        start = RUNS / name_of(BY_NAME[variant.start], seed)
        checkpoint = start / CHECKPOINTS / BEST
        if not checkpoint.is_file():
            raise FileNotFoundError(
                f"variant {variant.name!r}: {checkpoint} is missing; expected the end of "
                f"{start.name!r}; remove that run's row from {RESULTS} and run again"
            )
    # what is left of a run that was stopped
    shutil.rmtree(out, ignore_errors=True)
    result = train(
        data=DATA / "train/videos",
        masks_path=DATA / "train/masks",
        checkpoint=checkpoint,
        config_path="micro",
        out=out,
        seed=seed,
        **variant.settings(),
    )
    return result.best_model


def _score(model: SAM2Model, videos: Sequence[Video], how: Mapping[str, Any]) -> float:
    return mean_over_objects([evaluate_video(model, video, **how) for video in videos])


def run_apart(variant: Variant, seed: int) -> dict[str, Any]:
    """Measure in a process of its own, so that peaks do not mix; its log lies beside the run."""
    log = RUNS / f"{name_of(variant, seed)}.log"
    with log.open("w") as errors:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.ablation", "--run", variant.name, str(seed)],
            check=False,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"},
        )
    if done.returncode:
        raise RuntimeError(f"run {name_of(variant, seed)}: exit code {done.returncode}; see {log}")
    return json.loads(done.stdout.splitlines()[-1])


def facts() -> dict[str, Any]:
    """Return what every row depends on."""
    packages = ("torch", "transformers", "lightning", "numpy")
    found = {
        "versions": {name: version(name) for name in packages},
        "python": platform.python_version(),
        "machine": platform.platform(),
        "settings": BASE,
        "test_videos": NUM_TEST_VIDEOS,
    }
    return json.loads(json.dumps(found))


def read_result() -> dict[str, Any]:
    """Return the result so far, without rows of settings that are no longer the same."""
    empty = {**facts(), "rows": {}}
    if not RESULTS.is_file():
        return empty
    result = json.loads(RESULTS.read_text())
    if {**result, "rows": {}} != empty:
        print("versions, machine or settings have changed: all anew")
        return empty
    wanted = {name_of(variant, seed): describe(variant) for variant, seed in plan()}
    for name, row in list(result["rows"].items()):
        if {key: row[key] for key in ("changes", "start")} != wanted.get(name):
            del result["rows"][name]
    return result


def main() -> None:
    """Run what is missing, two at once, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", action="store_true", help="only write docs/results.md")
    parser.add_argument("--at-once", type=int, default=2, help="runs at once, one core each")
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(json.dumps(measure(BY_NAME[options.run[0]], int(options.run[1]))))
        return
    result = json.loads(RESULTS.read_text()) if options.page else read_result()
    if not options.page:
        make_data(DATA)
        RUNS.mkdir(parents=True, exist_ok=True)
        _run_missing(result, options.at_once)
    PAGE.write_text(write_section(PAGE.read_text(), result))


def _run_missing(result: dict[str, Any], at_once: int) -> None:
    names = [name_of(variant, seed) for variant, seed in plan()]
    missing = [run for run in plan() if name_of(*run) not in result["rows"]]
    problems: list[str] = []
    with ThreadPoolExecutor(at_once) as pool:
        for done in as_completed([pool.submit(run_apart, *run) for run in missing]):
            if (error := done.exception()) is not None:
                problems.append(str(error))
                continue
            row = done.result()
            result["rows"][name_of(BY_NAME[row["variant"]], row["seed"])] = row
            result["rows"] = {
                name: result["rows"][name] for name in names if name in result["rows"]
            }
            write_json(RESULTS, result)
            print(row, flush=True)
    if problems:
        raise RuntimeError("\n".join(problems))


if __name__ == "__main__":
    main()
