"""The tables of docs/check.md, made from what was measured; what was not stays empty."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.tables import make_table

PAGE = Path(__file__).parents[1] / "docs" / "check.md"
RESULT = Path(__file__).with_name("results") / "loading.json"
BEGIN, END = "<!-- tables: python -m benchmarks.loading -->", "<!-- end of tables -->"
PRESETS = RESULT.with_name("presets.json")
CORES = 8
LOADING = CORES - 1
"""Processes that training starts there by itself: one core is left to it."""
Result = Mapping[str, Any]


def write_page(page: Path = PAGE) -> None:
    """Write the page with its tables made anew."""
    page.write_text(write_tables(page.read_text(), *read_results()))


def read_results() -> tuple[Result, Result]:
    """Return what was measured of loading, and what was counted of the presets."""
    return json.loads(RESULT.read_text()), json.loads(PRESETS.read_text())["cards"]


def write_tables(page: str, results: Result, presets: Result) -> str:
    """Return the page with its tables made from the results of each part."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE}: expected the lines {BEGIN!r} and {END!r}")
    makers = {"check": _check, "memory": _memory, "loader": _loader}
    parts = [
        "\n".join([*make(results[name]), "", f"({_machine(results[name])})"])
        for name, make in makers.items()
        if name in results
    ]
    if "loader" in results:
        parts.append("\n".join(_presets(results["loader"]["preset"], presets)))
    tables = "\n\n".join(parts) or "Nothing has been measured yet."
    return f"{head}{begin}\n{tables}\n{end}{tail}"


def _machine(result: Result) -> str:
    machine = result["machine"]
    named = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return f"{machine['cpu']}, {machine['cores']} cores; {named}"


def _check(result: Result) -> Iterator[str]:
    titles = {
        "read": "`check`, all read",
        "from_index": "`check` again, from the index",
        "open_and_check_links": "opening alone, links checked",
        "open": "opening alone, with `dataset.follow_links`",
    }
    yield f"{result['videos']:,} videos, {result['frames']:,} frames, {result['files']:,} files:"
    yield ""
    rows = [
        [title, _seconds(result[key].get("seconds")), _seconds(result[key]["cpu_seconds"])]
        for key, title in titles.items()
    ]
    yield make_table(["", "s", "s of processors, all processes"], rows)


def _memory(result: Result) -> Iterator[str]:
    yield (
        f"{result['frames']:,} frames held: {result['rss_mib']:.0f} MiB, of which "
        f"{result['rss_before_mib']:.0f} MiB without them. What each of {result['workers']} "
        "loading processes owns by itself:"
    )
    yield ""
    ends = (result["private_mib_at_start"], result["private_mib_after_an_epoch"])
    cells = [f"{max(values):.1f} MiB" for values in ends]
    yield make_table(["at its start", "when all its videos were looked up"], [cells])


def _loader(result: Result) -> Iterator[str]:
    yield (
        f"Clips of {result['length']} frames and up to {result['max_objects']} objects. One and "
        f"two loading processes were measured, while nothing trained; the last column is "
        f"multiplied, not measured: the {LOADING} processes that training starts on {CORES} cores, "
        "each as fast as each of the two was."
    )
    yield ""
    head = ["data", "frames", "input", "ms of a core a clip", "clips/s: 1 process", "2 processes"]
    rows = []
    for row in [*result["rows"], result["preset"]]:
        one, two = (row["clips_per_second"][count] for count in ("1", "2"))
        rows.append(
            [
                row["layout"],
                "x".join(map(str, row["frames"])),
                str(row["input"]),
                f"{1000 * row['cpu_seconds_a_clip']:.0f}",
                f"{one:.1f}",
                f"{two:.1f} ({two / one:.2f}x)",
                f"{_multiply(row):.0f}",
            ]
        )
    yield make_table([*head, f"{CORES} cores, multiplied"], rows)


def _multiply(row: Result) -> float:
    """Return the clips/s of 8 cores."""
    return row["clips_per_second"]["2"] / 2 * LOADING


def _presets(row: Result, presets: Result) -> Iterator[str]:
    speed = _multiply(row)
    yield (
        f"The presets: with {CORES} cores ({speed:.0f} clips/s, {row['layout']}, multiplied) a GPU "
        "waits for data only if it does more than this. What a clip takes is counted, forward and "
        "backward (a preset with fewer objects a clip loads faster):"
    )
    yield ""
    rows = []
    for card, preset in presets.items():
        each = preset["tflop"] / preset["clips"]
        rows.append([f"gpu-{card}gb", f"{each:.1f}", f"{speed * each:,.0f} TFLOP/s"])
    yield make_table(["preset", "TFLOP a clip", "the GPU would have to do"], rows)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
