"""Time of scoring folders of masks: ours against the public evaluators, A B A B, one process each.

    python benchmarks/metrics.py --python VENV/bin/python --davis-evaluation FOLDER

vos-benchmark is on PyPI: install it with scikit-image, opencv and tqdm into an environment of its
own (`--python`). davis2017-evaluation is not: `--davis-evaluation` is a checkout, whose package
`davis2017` is imported by the same interpreter. Each run is a process of its own; imports are not
timed. The masks are decoded in every run, as they are for a user.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results")
SHARED = Path(__file__).parents[1].parent / "shared" / "data" / "vos_eval"
SETS = (("single_real", "pred_osvos"), ("multi_synth", "pred_coarse"))
OURS = "ours"
EVALUATORS = {"davis2017-evaluation": "davis", "vos-benchmark": "vos"}


def prepare_davis(truth: Path, predictions: Path) -> Callable[[], float]:
    """Return a run of davis2017-evaluation's semi-supervised task."""
    from davis2017.evaluation import DAVISEvaluation  # pyright: ignore[reportMissingImports]

    root = Path(tempfile.mkdtemp())
    (root / "Annotations").mkdir()
    (root / "Annotations" / "480p").symlink_to(truth)
    (root / "ImageSets" / "2017").mkdir(parents=True)
    videos = sorted(folder.name for folder in truth.iterdir())
    (root / "ImageSets" / "2017" / "val.txt").write_text("\n".join(videos))
    for video in videos:
        folder = root / "JPEGImages" / "480p" / video
        folder.mkdir(parents=True)
        for mask in (truth / video).iterdir():
            # it lists the frames and does not read them
            (folder / f"{mask.stem}.jpg").touch()

    def run() -> float:
        evaluation = DAVISEvaluation(str(root), task="semi-supervised", gt_set="val")
        result = evaluation.evaluate(str(predictions))
        return statistics.fmean([*result["J"]["M"], *result["F"]["M"]])

    return run


def prepare_vos(truth: Path, predictions: Path) -> Callable[[], float]:
    """Return a run of vos-benchmark without its pool of processes."""
    from vos_benchmark.benchmark import VideoEvaluator  # pyright: ignore[reportMissingImports]

    def run() -> float:
        evaluator = VideoEvaluator(str(truth), str(predictions))
        values: list[float] = []
        for folder in sorted(truth.iterdir()):
            _, region, boundary = evaluator(folder.name)
            values += [*region.values(), *boundary.values()]
        return statistics.fmean(values) / 100

    return run


def prepare_ours(protocol: str, truth: Path, predictions: Path) -> Callable[[], float]:
    """Return a run of `sam2_video.score`."""
    from sam2_video import score

    return lambda: score(truth, predictions, protocol).overall.jf  # pyright: ignore


def measure_one(side: str, protocol: str, truth: Path, predictions: Path) -> None:
    """Print the seconds of one run and the J&F that it found."""
    import cv2

    cv2.setNumThreads(1)
    if side == OURS:
        run = prepare_ours(protocol, truth, predictions)
    else:
        run = (prepare_davis if protocol == "davis" else prepare_vos)(truth, predictions)
    start, processor = time.perf_counter(), time.process_time()
    value = run()
    seconds = {
        "wall": time.perf_counter() - start,
        "processor": time.process_time() - processor,
    }
    print(json.dumps({"seconds": seconds, "jf": value}))


def call(side: str, evaluator: str, folders: list[str], flags: argparse.Namespace) -> Any:  # noqa: ANN401 (JSON)
    """Run one side in a process of its own."""
    paths = [str(Path(__file__).parents[1]), *sys.path] if side == OURS else []
    if flags.davis_evaluation and side != OURS:
        paths.append(str(flags.davis_evaluation))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    interpreter = sys.executable if side == OURS else str(flags.python)
    command = [interpreter, __file__, "--one", side, EVALUATORS[evaluator], *folders]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{evaluator}, {side}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(evaluator: str, name: str, prediction: str, flags: argparse.Namespace) -> dict:
    """Time both sides in turns, and return medians and their ratio."""
    folders = [str(SHARED / name / "gt"), str(SHARED / name / prediction)]
    runs: dict[str, list[Any]] = {OURS: [], evaluator: []}
    for _ in range(flags.repeats):
        for side, done in runs.items():
            done.append(call(side, evaluator, folders, flags))
    row: dict[str, Any] = {"evaluator": evaluator, "masks": f"{name}/{prediction}"}
    for clock in ("wall", "processor"):
        seconds = {side: [run["seconds"][clock] for run in done] for side, done in runs.items()}
        medians = {side: statistics.median(values) for side, values in seconds.items()}
        row[clock] = {
            "seconds": seconds,
            "median": medians,
            "times_faster": medians[evaluator] / medians[OURS],
        }
    row["jf_difference"] = abs(runs[OURS][0]["jf"] - runs[evaluator][0]["jf"])
    return row


def main() -> None:
    """Compare with every evaluator that is there, and write benchmarks/results/metrics.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--python", type=Path, default=Path(sys.executable))
    parser.add_argument("--davis-evaluation", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.one:
        side, protocol, truth, predictions = flags.one
        measure_one(side, protocol, Path(truth), Path(predictions))
        return
    evaluators = [name for name in EVALUATORS if flags.davis_evaluation or name == "vos-benchmark"]
    rows = [compare(evaluator, *masks, flags) for evaluator in evaluators for masks in SETS]
    for row in rows:
        print(
            f"{row['evaluator']}, {row['masks']}: {row['wall']['times_faster']:.1f} times faster "
            f"by the clock, {row['processor']['times_faster']:.1f} by processor time, "
            f"J&F differs by {row['jf_difference']:.0e}"
        )
    RESULTS.mkdir(exist_ok=True)
    content = {"machine": platform.processor() or platform.machine(), "rows": rows}
    (RESULTS / "metrics.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
