"""docs/check.md shows what was measured, and says what was multiplied."""

import pytest

from benchmarks.loading_page import BEGIN, END, PAGE, read_results, write_tables

MACHINE = {"cpu": "A", "cores": 2, "versions": {"torch": "2", "pillow": "3"}}


def page_of(**results):
    told = {name: one | {"machine": MACHINE} for name, one in results.items()}
    presets = {"8": {"tflop": 30.0, "clips": 2}}
    return write_tables(f"before\n{BEGIN}\nold\n{END}\nafter", told, presets)


def test_the_page_holds_the_tables_of_the_recorded_results():
    page = PAGE.read_text()
    made = write_tables(page, *read_results())
    assert page == made, "run: python -m benchmarks.loading --page"


def test_eight_cores_are_multiplied_from_two_processes_and_said_to_be():
    row = {"layout": "DAVIS", "input": 512, "frames": [480, 854], "cpu_seconds_a_clip": 0.04}
    row["clips_per_second"] = {"1": 20.0, "2": 36.0}
    preset = row | {"layout": "seven", "clips_per_second": {"1": 5.0, "2": 8.0}}
    page = page_of(loader={"length": 5, "max_objects": 3, "rows": [row], "preset": preset})
    assert "| seven | 480x854 | 512 | 40 | 5.0 | 8.0 (1.60x) | 28 |" in page
    assert "| gpu-8gb | 15.0 | 420 TFLOP/s |" in page
    assert "| DAVIS | 480x854 | 512 | 40 | 20.0 | 36.0 (1.80x) | 126 |" in page
    assert "multiplied, not measured: the 7 processes" in page
    assert "(A, 2 cores; torch 2, pillow 3)" in page
    assert page.startswith("before\n")
    assert page.endswith("\nafter")
    assert "old" not in page


def test_of_processes_the_one_that_owns_most_is_told():
    memory = {"frames": 1_000_000, "rss_mib": 449.3, "rss_before_mib": 291.5, "workers": 2}
    memory |= {"private_mib_at_start": [2.25, 1.9], "private_mib_after_an_epoch": [5.2, 5.44]}
    page = page_of(memory=memory)
    assert "1,000,000 frames held: 449 MiB, of which 292 MiB without them" in page
    assert "| 2.2 MiB | 5.4 MiB |" in page


def test_what_was_not_measured_is_left_out():
    parts = {name: {"cpu_seconds": 1.0} for name in ("open", "open_and_check_links")}
    parts |= {name: {"seconds": 9.0, "cpu_seconds": 8.0} for name in ("read", "from_index")}
    page = page_of(check={"videos": 2, "frames": 4, "files": 8, **parts})
    assert "| `check`, all read | 9.0 | 8.0 |" in page
    assert "| opening alone, links checked |  | 1.0 |" in page
    assert "processes" in page
    assert "clips/s" not in page
    assert "Nothing has been measured yet." in page_of()
    with pytest.raises(ValueError, match="expected the lines"):
        write_tables("no table", {}, {})
