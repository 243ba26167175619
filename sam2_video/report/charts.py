"""Line charts as inline SVG, whose colours and fonts are those of the page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 380, 250
LEFT, RIGHT, TOP, BOTTOM = 50, 12, 10, 44
MOST_POINTS = 300
MOST_MARKED = 40

Number = int | float
Points = Sequence[tuple[Number, Number]]


@dataclass(frozen=True)
class Line:
    """One curve; `style` is a class of the page's style sheet."""

    name: str
    points: Points
    style: str
    is_marked: bool = False


@dataclass(frozen=True)
class Axis:
    """An axis from low to high."""

    label: str
    low: Number
    high: Number
    ticks: Sequence[Number]
    is_log: bool = False

    def share(self, value: Number) -> float:
        """Return where a value lies, 0 to 1."""
        if self.is_log:
            low, high, value = math.log(self.low), math.log(self.high), math.log(value)
        else:
            low, high = self.low, self.high
        return (value - low) / (high - low)


def line_chart(title: str, lines: Sequence[Line], x: Axis, y: Axis) -> Markup:
    """Return a chart as an SVG element, the first line on top; what is outside is cut off."""

    def place(point: tuple[Number, Number]) -> tuple[float, float]:
        across, up = x.share(point[0]), min(max(y.share(point[1]), 0.0), 1.0)
        return (
            LEFT + across * (WIDTH - LEFT - RIGHT),
            TOP + (1 - up) * (HEIGHT - TOP - BOTTOM),
        )

    parts = [_grid(x, y)]
    for line in reversed(lines):
        points = [place(p) for p in thin_out(line.points)]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(f'<polyline class="line {escape(line.style)}" points="{path}"/>')
        if line.is_marked and len(line.points) <= MOST_MARKED:
            for (a, b), (step, value) in zip(points, line.points, strict=True):
                tip = escape(f"{line.name}: {value:.3f} at {step:g}")
                parts.append(
                    f'<circle class="dot {escape(line.style)}" cx="{a:.1f}" cy="{b:.1f}" r="4">'
                    f"<title>{tip}</title></circle>"
                )
    bottom, middle = HEIGHT - 6, TOP + (HEIGHT - TOP - BOTTOM) / 2
    parts.append(
        f'<text class="name" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{bottom}">{escape(x.label)}</text>'
        f'<text class="name" transform="rotate(-90 13 {middle})" x="13" y="{middle}">'
        f"{escape(y.label)}</text>"
    )
    label = escape(f"{title}: {', '.join(line.name for line in lines)}")
    # all text in it is escaped above
    return Markup(
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
        f"{''.join(parts)}</svg>"
    )


def _grid(x: Axis, y: Axis) -> str:
    parts = []
    for tick in y.ticks:
        at = TOP + (1 - y.share(tick)) * (HEIGHT - TOP - BOTTOM)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
            f'<text class="tick end" x="{LEFT - 6}" y="{at + 4:.1f}">{tick:g}</text>'
        )
    base = HEIGHT - BOTTOM
    for tick in x.ticks:
        at = LEFT + x.share(tick) * (WIDTH - LEFT - RIGHT)
        parts.append(f'<text class="tick" x="{at:.1f}" y="{base + 17}">{_short(tick)}</text>')
    parts.append(f'<line class="base" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{base}" y2="{base}"/>')
    return "".join(parts)


def _short(number: Number) -> str:
    """Return a number in little space.

    >>> _short(250), _short(12500)
    ('250', '12.5k')
    """
    return f"{number / 1000:g}k" if abs(number) >= 10_000 else f"{number:g}"


def even_ticks(low: Number, high: Number, most: int = 6) -> list[float]:
    """Return round numbers from low to high.

    >>> even_ticks(0, 32)
    [0.0, 10.0, 20.0, 30.0]
    """
    rough = (high - low) / most
    power = 10 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) + 0.0 for i in range(first, math.floor(high / step + 1e-9) + 1)]


def step_axis(last: Number) -> Axis:
    """Return the axis of optimisation steps."""
    last = max(last, 1)
    ticks = [tick for tick in even_ticks(0, last) if tick == int(tick)]
    return Axis("optimisation step", 0, last, ticks)


def thin_out(points: Points) -> Points:
    """Return the points, or, of many, the means of neighbours."""
    if len(points) <= MOST_POINTS:
        return points
    size = math.ceil(len(points) / MOST_POINTS)
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(sum(p[0] for p in g) / len(g), sum(p[1] for p in g) / len(g)) for g in groups]


def smooth(points: Points) -> Points:
    """Return means over a twentieth of the points on either side."""
    reach = len(points) // 20
    if not reach:
        return points
    sums = [0.0]
    for _, value in points:
        sums.append(sums[-1] + value)
    smoothed = []
    for i, (step, _) in enumerate(points):
        first, end = max(i - reach, 0), min(i + reach + 1, len(points))
        smoothed.append((step, (sums[end] - sums[first]) / (end - first)))
    return smoothed
