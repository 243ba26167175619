"""docs/performance.md shows what was measured, and leaves empty what was not."""

import json

import pytest

from benchmarks.levers import LEVERS
from benchmarks.performance_page import PAGE, RESULTS, write_tables
from benchmarks.step.compare import describe_runs
from benchmarks.step.rows import META, choose_rows


def test_the_page_holds_the_tables_of_the_recorded_results():
    page = PAGE.read_text()
    assert page == write_tables(page), "run: python -m benchmarks.step --page"


def test_recorded_results_are_of_rows_that_there_are():
    names = {path.stem for path in (RESULTS / "step").glob("*.json")}
    assert names <= {row.name for row in choose_rows(["*"])}


def answers(seconds, peak):
    return [{"seconds": s, "parts": {"backward": s}, "peak_gb": peak} for s in seconds]


def made_up(row, runs, failed=None):
    prepared = {
        label: {"loaded_gb": 0.5, "tflop": {"backward": 2.0}, "matmul_tflops": 1.0}
        for label in runs
    }
    machine = {"cpu": "A", "gpu": None, "threads": 2, "flags": [], "memory_gb": 8.0}
    found = {"machine": machine, "versions": {"torch": "2"}, "commit": "c0ffee"}
    return row.describe() | found | describe_runs(row, prepared, runs, failed or {})


def row_of(page, title):
    return [line for line in page.splitlines() if line.startswith(f"| {title} |")]


@pytest.fixture
def write(tmp_path):
    """Return what writes a result and returns the page made of it alone."""

    def write(row, result):
        path = tmp_path / "step" / f"{row.name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(result))
        return write_tables(PAGE.read_text(), tmp_path)

    return write


def test_ratios_are_medians_of_turns_and_stand_beside_what_is_hoped_for(write):
    (row,) = choose_rows(["cpu-512"])
    runs = {META: answers([2.0, 4.0, 9.0], 4.0), "ours": answers([1.0, 3.0, 9.0], 1.0)}
    reach, *breakdown = row_of(write(row, made_up(row, runs)), row.title)
    assert "| ours | **0.75** | 0.50 to 1.00, 3 turns | <= 0.88 | **0.25** |" in reach
    assert "4, 3" in reach
    assert len(breakdown) == 2
    assert "0.667 | 67% of 1 |" in breakdown[1]


def test_what_was_not_measured_is_empty(write):
    (row,) = choose_rows(["cpu-512"])
    page = write(row, made_up(row, {META: answers([2.0], 4.0), "ours": answers([1.0], 1.0)}))
    (gpu,) = choose_rows(["gpu-512"])
    for line in row_of(page, gpu.title):
        assert line.split("|")[3].strip() == ""
        assert "<= 0." in line


def test_what_failed_shows_the_reason(write):
    (row,) = choose_rows(["cpu-512"])
    runs = {META: [], "ours": answers([1.0], 1.0)}
    result = made_up(row, runs, failed={META: "out of memory"})
    assert f"| ours |  | {META}: out of memory | <= 0.88 |" in write(row, result)


def test_the_result_of_another_row_of_that_name_is_not_shown(write):
    (row,) = choose_rows(["cpu-512"])
    runs = {META: answers([2.0], 4.0), "ours": answers([1.0], 1.0)}
    result = made_up(row, runs)
    result["problem"]["objects"] = 4
    assert "**0.50**" not in write(row, result)


def test_a_quick_run_leaves_the_page_as_it_is(write, tmp_path):
    (row,) = choose_rows(["quick"])
    runs = {label: answers([1.0], 1.0) for label in row.ways}
    assert write(row, made_up(row, runs)) == write_tables(PAGE.read_text(), tmp_path / "none")


def test_every_lever_has_a_title():
    assert all(lever.title for lever in LEVERS.values())
