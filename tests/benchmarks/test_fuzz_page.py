"""docs/reliability.md tells what the fuzzer's recorded runs saw, of every target that there is."""

import json

import pytest

from benchmarks.fuzz_page import BEGIN, END, PAGE, RESULTS, TARGETS, write_table


def test_the_page_holds_the_table_of_the_recorded_runs():
    page = PAGE.read_text()
    assert page == write_table(page), "run: python -m benchmarks.fuzz_page"


def test_every_target_has_been_run_to_its_end():
    known = json.loads(RESULTS.read_text())
    assert sorted(known) == sorted(TARGETS)
    assert {name: seen["exit_code"] for name, seen in known.items() if seen["exit_code"]} == {}
    assert all(seen["runs"] for seen in known.values())


def test_faults_and_targets_that_were_not_run_stand_in_the_table(tmp_path):
    seen = {"runs": 1234, "seconds": 5, "kept": 6, "faults": ["KeyError-read.txt"], "exit_code": 0}
    (tmp_path / "fuzz.json").write_text(json.dumps({"coco": seen, "npz": seen | {"runs": None}}))
    page = write_table(f"before\n{BEGIN}\n| old |\n{END}\nafter\n", tmp_path / "fuzz.json")
    lines = page.splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")
    assert "| `coco` | 1,234 | 5 | 6 | `KeyError-read.txt` |" in lines
    assert "| `npz` | broken off | 5 | 6 | `KeyError-read.txt` |" in lines
    assert "| `nifti` | not run | | | |" in lines
    assert "| old |" not in lines


def test_a_page_without_a_place_for_the_table_is_refused():
    with pytest.raises(ValueError, match="expected the lines"):
        write_table("a page")
