"""docs/parity.md shows what was measured, and all of it lies within the tolerances."""

import json

import pytest

from benchmarks.parity import LARGE, RESULTS, covering, design, name_of
from benchmarks.parity_page import PAGE, write_tables


@pytest.fixture(scope="module")
def result():
    return json.loads(RESULTS.read_text())


def test_the_page_holds_the_tables_of_the_recorded_result(result):
    page = PAGE.read_text()
    assert page == write_tables(page, result), "run: python -m benchmarks.parity --page"


def test_every_case_of_the_design_is_recorded_and_within_the_tolerances(result):
    rows = result["rows"]
    assert [name_of(case) for case in design() if name_of(case) not in rows] == []
    assert {name: row["excesses"] for name, row in rows.items() if row["excesses"]} == {}


def test_the_design_lets_every_two_values_of_two_factors_meet():
    cases = list(covering(LARGE))
    for first, first_values in LARGE.items():
        for second, second_values in LARGE.items():
            if first != second:
                met = {(getattr(case, first), getattr(case, second)) for case in cases}
                assert met == {(x, y) for x in first_values for y in second_values}
