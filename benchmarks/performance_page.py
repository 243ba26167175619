"""The tables of docs/performance.md, made from what was measured; what was not stays empty."""

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.floor_table import make_floor_table
from benchmarks.step.rows import META, OURS, all_rows
from benchmarks.step.settings import EVERYTHING, Problem, Row
from benchmarks.step.timeline import PARTS
from benchmarks.tables import Lines, make_table, put_table

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
RESULTS = Path(__file__).with_name("results")
SCRIPT = "benchmarks/performance_page.py"
Result = Mapping[str, Any]


def write_page(page: Path = PAGE, results: Path = RESULTS) -> None:
    """Write the page with its tables made anew."""
    page.write_text(write_tables(page.read_text(), results))


def write_tables(page: str, results: Path = RESULTS) -> str:
    """Return the page with its tables made from a folder of results."""
    steps = _read_steps(results / "step")
    levers, trackers = _read(results / "levers.json"), _read(results / "trackers.json")
    tables = {
        "machines": _machines([*steps.values(), *(x for x in (levers, trackers) if x)]),
        "reach": _reach(steps),
        "breakdown": _breakdown(steps),
        "floor": make_floor_table(_rows("reach"), steps),
        "grid": _grid(steps),
        "objects": _objects(steps),
        "memory": _memory(steps),
        "levers": _levers(levers),
        "parts": _parts_of_levers(levers),
        "trackers": _trackers(trackers),
    }
    for name, table in tables.items():
        page = put_table(page, PAGE, SCRIPT, name, table)
    return page


def _read(path: Path) -> Result | None:
    return json.loads(path.read_text()) if path.is_file() else None


def _read_steps(folder: Path) -> dict[str, Result]:
    """Return the results of the rows as they now are, by name; the quick one is nobody's record."""
    found = {}
    for row in all_rows():
        if "quick" in row.families:
            continue
        result = _read(folder / f"{row.name}.json")
        if result is not None and all(result[key] == x for key, x in row.describe().items()):
            found[row.name] = result
    return found


def _machines(results: Sequence[Result]) -> str:
    said = [_machine(result) for result in results]
    return "\n".join(dict.fromkeys(said)) or "Nothing has been measured yet."


def _machine(result: Result) -> str:
    machine, versions = result["machine"], result["versions"]
    device = machine["gpu"] or f"{machine['cpu']}, {machine['threads']} threads"
    flags = f" ({', '.join(machine['flags'])})" if machine["flags"] else ""
    named = ", ".join(f"{name} {value}" for name, value in versions.items())
    return f"- {device}{flags}, {machine['memory_gb']:.0f} GB; {named}; commit {result['commit']}"


def _rows(family: str) -> Iterator[Row]:
    return (row for row in all_rows() if family in row.families)


def _reach(steps: Mapping[str, Result]) -> str:
    head = ["", "", "time / Meta's", "each turn", "reach", "peak / Meta's", "reach"]
    head += ["s: Meta, ours", "GB: Meta, ours"]
    lines: Lines = []
    for row in _rows("reach"):
        result = steps.get(row.name)
        for label in list(row.ways)[1:]:
            cells = [row.title, label, *_ratio_cells(row, label, result)]
            lines.append([*cells, *(_pair(result, key, label) for key in ("seconds", "peak_gb"))])
    return make_table(head, lines)


def _ratio_cells(row: Row, label: str, result: Result | None) -> list[str]:
    hoped = {x.measure: f"<= {x.at_most:.2f}" for x in row.reaches if x.way == label}
    ratio = None if result is None else result["ratios"].get(label)
    if ratio is None:
        return ["", _why(result, label), hoped.get("time", ""), "", hoped.get("peak", "")]
    every = ratio["time"]["all"]
    return [
        f"**{ratio['time']['median']:.2f}**",
        f"{min(every):.2f} to {max(every):.2f}, {len(every)} turns",
        hoped.get("time", ""),
        f"**{ratio['peak']['median']:.2f}**",
        hoped.get("peak", ""),
    ]


def _why(result: Result | None, *labels: str) -> str:
    """Return why something of a result is missing, if it was tried."""
    failed = {} if result is None else result["failed"]
    said = [f"{label}: {failed[label]}" for label in (META, *labels) if label in failed]
    return "; ".join(said)


def _pair(result: Result | None, key: str, label: str = OURS) -> str:
    """Return Meta's and our median."""
    medians = {} if result is None else result["medians"]
    said = [_number(medians[name][key]) if name in medians else "-" for name in (META, label)]
    return ", ".join(said) if medians else ""


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _breakdown(steps: Mapping[str, Result]) -> str:
    head = ["", "", "s", "clips/s", *PARTS, "TFLOP", "TFLOP/s", "of the matmul peak"]
    head.append("memory attention, forward, of that peak")
    lines: Lines = []
    for row in _rows("reach"):
        for label, found in steps.get(row.name, {"medians": {}})["medians"].items():
            share = found["memory_attention_share"]
            lines.append(
                [
                    row.title,
                    label,
                    _number(found["seconds"]),
                    _number(found["clips_per_second"]),
                    *(_number(found["parts"].get(part, 0.0)) for part in PARTS),
                    _number(found["tflop"]),
                    _number(found["tflops"]),
                    f"{found['share_of_matmul']:.0%} of {_number(found['matmul_tflops'])}",
                    "" if share is None else f"{share:.0%}",
                ]
            )
    return make_table(head, lines)


def _grid(steps: Mapping[str, Result]) -> str:
    head = ["device", "px", "frames", "objects", "network", "prompt", "learns", "s: Meta, ours"]
    head += ["time / Meta's", "GB: Meta, ours", "peak / Meta's", ""]
    rows = [*_rows("grid"), *(row for row in _rows("full") if row.name in steps)]
    lines: Lines = []
    for row in rows:
        result = steps.get(row.name)
        ratio = None if result is None else result["ratios"].get(OURS)
        times, peaks = ("", "") if ratio is None else (ratio["time"], ratio["peak"])
        lines.append(
            [
                *_describe(row.problem),
                _pair(result, "seconds"),
                f"**{times['median']:.2f}**" if times else "",
                _pair(result, "peak_gb"),
                f"**{peaks['median']:.2f}**" if peaks else "",
                _why(result, OURS),
            ]
        )
    return make_table(head, lines)


def _describe(problem: Problem) -> list[str]:
    learns = "everything" if problem.trainable == EVERYTHING else "memory"
    clicks = f" + {problem.clicks} clicks" if problem.clicks else ""
    return [
        {"cpu": "CPU, fp32", "cuda": "GPU, bf16"}[problem.device],
        str(problem.side),
        str(problem.frames),
        str(problem.objects),
        problem.architecture.removeprefix("sam2.1-"),
        problem.prompt + clicks,
        learns,
    ]


def _objects(steps: Mapping[str, Result]) -> str:
    head = ["device", "px", "objects", "s: Meta, ours", "s an object: Meta, ours"]
    head += ["GB: Meta, ours", ""]
    lines: Lines = []
    for row in _rows("objects"):
        result, count = steps.get(row.name), row.problem.objects
        medians = {} if result is None else result["medians"]
        each = [
            _number(medians[name]["seconds"] / count) if name in medians else "-"
            for name in (META, OURS)
        ]
        device, side, *_ = _describe(row.problem)
        lines.append(
            [
                device,
                side,
                str(count),
                _pair(result, "seconds"),
                ", ".join(each) if medians else "",
                _pair(result, "peak_gb"),
                _why(result, OURS),
            ]
        )
    return make_table(head, lines)


def _memory(steps: Mapping[str, Result]) -> str:
    head = ["row", "", "peak, GB", "peak / Meta's", "s", "time / Meta's", "time / ours"]
    lines: Lines = []
    for row in _rows("reach"):
        if row.name.startswith("cpu-512-memory"):
            lines += [[row.name, way, *_memory_cells(steps.get(row.name), way)] for way in row.ways]
    return make_table(head, lines)


def _memory_cells(result: Result | None, label: str) -> list[str]:
    found = None if result is None else result["medians"].get(label)
    if result is None or found is None:
        return [""] * 5
    ratio, beside = result["ratios"].get(label), ""
    peak, time = (
        ("1", "1") if ratio is None else (_ratio(ratio[x]["all"]) for x in ("peak", "time"))
    )
    if label != META and OURS in result["medians"]:
        pairs = zip(result["runs"][label], result["runs"][OURS], strict=True)
        beside = _ratio([mine["seconds"] / ours["seconds"] for mine, ours in pairs])
    return [_number(found["peak_gb"]), peak, _number(found["seconds"]), time, beside]


def _ratio(of_turns: Sequence[float]) -> str:
    return f"{statistics.median(of_turns):.2f}"


def _levers(result: Result | None) -> str:
    head = ["with it / without it", "predicted time", "measured time", "each turn", "operations"]
    head.append("peak")
    if result is None:
        return make_table(head, [])
    first, *names = result["ways"]
    lines: Lines = []
    for name in names:
        predicted = result["predicted"][name]
        cells = [result["titles"][name], "" if predicted is None else f"{predicted:.2f}"]
        ratio = result["ratios"].get(name)
        if ratio is None:
            lines.append([*cells, "", result["failed"].get(name, ""), "", ""])
            continue
        turns = [1 / value for value in ratio["time"]["all"]]
        medians = result["medians"]
        lines.append(
            [
                *cells,
                f"**{1 / ratio['time']['median']:.3f}**",
                f"{min(turns):.3f} to {max(turns):.3f}",
                f"{medians[first]['tflop'] / medians[name]['tflop']:.3f}",
                f"{1 / ratio['peak']['median']:.3f}",
            ]
        )
    return make_table(head, lines)


def _parts_of_levers(result: Result | None) -> str:
    """Return what each part of a step takes with all levers, and without each."""
    head = ["s", *PARTS]
    if result is None:
        return make_table(head, [])
    lines: Lines = []
    for name, found in result["medians"].items():
        title = result["titles"].get(name)
        parts = [_number(found["parts"].get(part, 0.0)) for part in PARTS]
        lines.append(["with all" if title is None else f"without: {title}", *parts])
    return make_table(head, lines)


def _trackers(result: Result | None) -> str:
    head = ["network", "px", "frames", "objects", "ours", "Meta's predictor", "transformers"]
    head += ["ours / Meta's", "ours / transformers"]
    lines: Lines = []
    for case in [] if result is None else result["cases"]:
        speeds, ratios = case["frames_per_second"], case["ratios"]
        lines.append(
            [
                *(str(case[key]) for key in ("architecture", "side", "frames", "objects")),
                *(_number(speeds[who]) for who in ("ours", "meta", "transformers")),
                *(f"**{ratios[who]['median']:.2f}**" for who in ("meta", "transformers")),
            ]
        )
    return make_table(head, lines)
