"""docs/parity.md shows what was measured, and all of it lies within the tolerances."""

import json

import pytest

from benchmarks.parity import LARGE, LARGE_CORRECTED, RESULTS, covering, design, name_of
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


@pytest.mark.parametrize("factors", [LARGE, LARGE_CORRECTED], ids=["prompted", "corrected"])
def test_the_design_lets_every_two_values_of_two_factors_meet(factors):
    rows = list(covering(factors))
    for first, first_values in factors.items():
        for second, second_values in factors.items():
            if first != second:
                met = {(row[first], row[second]) for row in rows}
                assert met == {(x, y) for x in first_values for y in second_values}


def test_the_official_users_of_boxes_and_clicks_are_in_the_design():
    found = {
        (case.prompt, case.num_conditioning, case.clicks.num_frames)
        for case in design()
        if case.clicks is not None and case.clicks.num_clicks == 7
    }
    users = [(1, 1), (1, 2), (2, 2)]
    assert found == {(prompt, *user) for prompt in ("point", "box") for user in users}
