"""Where the points of a chart lie."""

import re

import pytest

from sam2_video.report.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Line,
    even_ticks,
    line_chart,
    smooth,
    thin_out,
)


def places(svg: str) -> list[tuple[float, float]]:
    points = re.findall(r'points="([^"]*)"', svg)[0].split()
    return [(float(x), float(y)) for x, y in (point.split(",") for point in points)]


@pytest.mark.parametrize("is_log", [False, True])
def test_the_corners_of_a_chart_are_the_ends_of_its_axes(is_log: bool) -> None:
    x, y = Axis("x", 1, 100, [1], is_log), Axis("y", 1, 10, [1], is_log)
    svg = line_chart("t", [Line("l", [(1, 1), (100, 10), (10, 99)], "ink")], x, y)
    first, second, third = places(svg)
    assert first == (LEFT, HEIGHT - BOTTOM)
    assert second == (WIDTH - RIGHT, TOP)
    assert third[1] == TOP
    if is_log:
        assert third[0] == pytest.approx((LEFT + WIDTH - RIGHT) / 2)


def test_names_are_escaped() -> None:
    axis = Axis("<x>", 0, 1, [0, 1])
    svg = line_chart("<t>", [Line("<l>", [(0, 0.5)], "ink", is_marked=True)], axis, axis)
    assert "<x>" not in svg
    assert "<l>" not in svg
    assert svg.count("&lt;l&gt;") == 2


def test_long_curves_are_thinned_to_their_means() -> None:
    points = [(step, step % 2) for step in range(10_000)]
    thinned = thin_out(points)
    assert len(thinned) <= 300
    assert all(value == pytest.approx(0.5, abs=0.02) for _, value in thinned)


def test_smoothing_keeps_steps_and_a_constant() -> None:
    points = [(step, 2.0) for step in range(100)]
    assert smooth(points) == points
    assert smooth(points[:5]) == points[:5]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 7), (0.31, 0.33), (0, 123_456)])
def test_ticks_are_few_and_inside(low: float, high: float) -> None:
    ticks = even_ticks(low, high)
    assert 2 <= len(ticks) <= 8
    assert low <= ticks[0] < ticks[-1] <= high + 1e-9
