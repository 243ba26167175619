"""docs/memory.md holds what was measured of a step's memory, beside the prediction."""

import json
from dataclasses import asdict

import pytest

from benchmarks import memory
from benchmarks.memory import SETTINGS, Setting
from benchmarks.memory_page import PAGE, RESULTS, write_tables
from benchmarks.presets import RESULTS as PRESETS

RECORDED = json.loads((RESULTS / "memory.json").read_text())


def test_what_is_recorded_is_what_would_be_measured_again():
    names = asdict(SETTINGS[0]).keys()
    assert [{name: row[name] for name in names} for row in RECORDED["rows"]] == [
        asdict(setting) for setting in SETTINGS
    ]
    assert RECORDED["network"] == memory.NETWORK


def test_a_step_is_measured_and_predicted(monkeypatch):
    monkeypatch.setattr(memory, "NETWORK", "micro")
    found = memory.measure(Setting(64, 2, 1, "none"))
    assert found.keys() == {"predicted", "measured"}
    assert 0 < found["predicted"] < 0.1


def test_the_page_tells_the_line_through_the_peaks(tmp_path):
    rows = [
        asdict(Setting(64, 2, count, mode)) | {"predicted": count, "measured": slope * count + 0.5}
        for mode, slope in (("none", 2), ("cheap", 1))
        for count in (1, 2, 4)
    ]
    (tmp_path / "memory.json").write_text(json.dumps({"rows": rows}))
    (tmp_path / "presets.json").write_text(PRESETS.read_text())
    page = write_tables(PAGE.read_text(), tmp_path)
    assert "| none | 2.00 x predicted +0.50 GB | 0.00 | 2.12 to 2.50 |" in page
    assert "| cheap | 1.00 x predicted +0.50 GB | 0.00 | 1.12 to 1.50 |" in page
    assert "| 64 | 2 | 4 | cheap | 4.00 | 4.50 | +0.50 |" in page


def test_a_page_without_a_place_for_a_table_is_told():
    with pytest.raises(ValueError, match="expected the lines '<!-- peaks: "):
        write_tables("nothing", RESULTS)
