"""What a step takes at least: products are told from the rest, and run by themselves."""

import pytest
import torch

from benchmarks.floor_table import make_floor_table
from benchmarks.step.floor import Census
from benchmarks.step.rows import META, choose_rows
from sam2_video.model import attention
from sam2_video.model.attention import attend


def test_products_are_told_from_calls_that_move_bytes_and_views_are_neither():
    first, second = torch.randn(8, 4), torch.randn(4, 6)
    with Census() as census:
        for _ in range(3):
            said = torch.mm(first, second).t()
        said + 1
    assert (list(census.products.values()), census.calls) == ([3], 4)
    assert census.moved == 2 * 48 * 4


@pytest.mark.parametrize("kept_bytes", [0, 2**20])
def test_an_operation_of_ours_is_what_it_is_made_of(kept_bytes, monkeypatch):
    monkeypatch.setattr(attention, "KEPT_BYTES", kept_bytes)
    query, key, value = (torch.randn(1, 40, width, requires_grad=True) for width in (32, 32, 8))
    with Census() as census:
        said = attend(query, key, value)
        assert sum(census.products.values()) == 2
        said.sum().backward()
    assert sum(census.products.values()) == 2 + (4 if kept_bytes else 5)


def test_the_floor_is_more_than_its_products():
    first = torch.randn(256, 256)
    with Census() as census:
        (first @ first).relu()
    found = census.measure()
    assert 0 < found["products"] < found["seconds"]
    assert found["moved_gb"] == 2 * 256 * 256 * 4 / 1e9
    assert found["copied_gb_per_second"] > 0.1


def test_the_table_sets_floors_beside_the_reach():
    (row,) = choose_rows(["cpu-512-cache"])
    ours = list(row.ways)[1]
    floor = {"products": 5.0, "calls": 1200.0, "moved_gb": 3.25, "seconds": 6.0}
    medians = {META: {"seconds": 12.0}, ours: {"seconds": 7.5}}
    ratios = {ours: {"time": {"median": 0.625}}}
    result = {"medians": medians, "ratios": ratios, "prepared": {META: {}, ours: {"floor": floor}}}
    (line,) = make_floor_table([row], {row.name: result}).splitlines()[2:]
    assert line == (
        f"| {row.title} | {ours} | 5.00 | 1,200 | 3.2 | 6.00 | 7.50 | 0.50 | 0.62 | <= 0.58 |"
    )
    assert len(make_floor_table([row], {}).splitlines()) == 2
