"""Let the ways of a row take turns, and keep everything that was measured, as JSON."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import (
    describe_commit,
    describe_machine,
    describe_versions,
    hash_code,
)
from benchmarks.step.settings import Row, Way
from benchmarks.turns import Answer, Worker, WorkerFailedError
from sam2_video.files import write_json
from sam2_video.model.heap import joining_environment

RESULTS = Path(__file__).parents[1] / "results" / "step"
MODULE = "benchmarks.step.worker"
Result = dict[str, Any]


def code_now() -> str:
    """Return what changes with the code that a result depends on."""
    return hash_code("sam2_video", "benchmarks/step")


def find_result(row: Row, folder: Path = RESULTS) -> Result | None:
    """Return what was measured of a row by the same code on the same machine, if it was."""
    path = folder / f"{row.name}.json"
    if not path.is_file():
        return None
    found = json.loads(path.read_text())
    now = {"code": code_now(), "machine": describe_machine(), "versions": describe_versions()}
    now |= row.describe()
    return found if all(found.get(key) == value for key, value in now.items()) else None


def measure_row(row: Row, rounds: int | None = None, folder: Path = RESULTS) -> Result:
    """Measure a row and write its result; a way that failed is recorded with the reason."""
    result: Result = {
        "row": row.name,
        "title": row.title,
        "families": list(row.families),
        **row.describe(),
        "code": code_now(),
        "commit": describe_commit(),
        "machine": describe_machine(),
        "versions": describe_versions(),
    }
    result |= describe_runs(row, *take_turns(row, rounds or row.rounds))
    write_json(folder / f"{row.name}.json", result)
    return result


def describe_runs(
    row: Row,
    prepared: Mapping[str, Answer],
    runs: Mapping[str, Sequence[Answer]],
    failed: Mapping[str, str],
) -> Result:
    """Return medians, ratios to the first way, and every value that they are of."""
    medians = {
        label: _medians(prepared[label], answers, _best_matmul(row.ways, prepared, label))
        for label, answers in runs.items()
        if answers and label not in failed
    }
    return {
        "medians": medians,
        "ratios": _ratios(row, runs, medians),
        "failed": failed,
        "prepared": prepared,
        "runs": runs,
    }


def take_turns(
    row: Row, rounds: int
) -> tuple[dict[str, Answer], dict[str, list[Answer]], dict[str, str]]:
    """Return what each way said when it was prepared, of each of its steps, and why it failed."""
    prepared: dict[str, Answer] = {}
    runs: dict[str, list[Answer]] = {label: [] for label in row.ways}
    failed: dict[str, str] = {}
    workers: dict[str, Worker] = {}
    try:
        for label in list(row.ways) * rounds:
            if label in failed:
                continue
            is_last = len(runs[label]) == rounds - 1
            try:
                if label not in workers:
                    workers[label] = Worker(MODULE, _task(row, label), _environment(row, label))
                    prepared[label] = workers[label].prepared
                runs[label].append(workers[label].ask({}))
                prepared[label] |= workers[label].ask(_counting(row)) if is_last else {}
            except WorkerFailedError as error:
                failed[label] = str(error)
            if label in workers and (row.is_apart or label in failed):
                workers.pop(label).close()
    finally:
        for worker in workers.values():
            worker.close()
    return prepared, runs, failed


def _counting(row: Row) -> Answer:
    return {"count": True, "floor": row.has_floor}


def _task(row: Row, label: str) -> dict[str, Any]:
    described = row.describe()
    return {"problem": described["problem"], "way": described["ways"][label]}


def _best_matmul(ways: Mapping[str, Way], prepared: Mapping[str, Answer], label: str) -> float:
    """Return the fastest product of matrices of any process of the same precision."""
    precision = ways[label].precision
    same = [said for name, said in prepared.items() if ways[name].precision == precision]
    return max(said["matmul_tflops"] for said in same)


def _environment(row: Row, label: str) -> dict[str, str]:
    """Return what a run of `sam2-video train` adds to its environment, for ours."""
    is_added = row.ways[label].who == "ours" and row.problem.device == "cpu"
    return joining_environment() if is_added else {}


def _medians(prepared: Answer, answers: Sequence[Answer], matmul: float) -> dict[str, Any]:
    keys = [key for key, value in answers[0].items() if isinstance(value, float)]
    found = {key: statistics.median(answer[key] for answer in answers) for key in keys}
    parts = {
        part: statistics.median(answer["parts"].get(part, 0.0) for answer in answers)
        for part in answers[0]["parts"]
    }
    tflop = sum(prepared["tflop"].values())
    attention = prepared["tflop"].get("memory attention", 0.0)
    seconds = parts.get("memory attention", 0.0)
    return found | {
        "clips_per_second": 1 / found["seconds"],
        "parts": parts,
        "loaded_gb": prepared["loaded_gb"],
        "tflop": tflop,
        "tflops": tflop / found["seconds"],
        "matmul_tflops": matmul,
        "share_of_matmul": tflop / found["seconds"] / matmul,
        "memory_attention_share": attention / seconds / matmul if seconds else None,
    }


def _ratios(
    row: Row, runs: Mapping[str, Sequence[Answer]], medians: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Compare each way with the first, turn by turn."""
    first, *others = row.ways
    if first not in medians:
        return {}
    ratios: dict[str, Any] = {}
    for label in others:
        if label in medians:
            pairs = list(zip(runs[label], runs[first], strict=True))
            times = [ours["seconds"] / theirs["seconds"] for ours, theirs in pairs]
            peaks = [ours["peak_gb"] / theirs["peak_gb"] for ours, theirs in pairs]
            ratios[label] = {
                "time": {"median": statistics.median(times), "all": times},
                "peak": {"median": statistics.median(peaks), "all": peaks},
            }
    return ratios
