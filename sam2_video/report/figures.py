"""The charts of a report: scores, loss, and how memory fades."""

import math
from dataclasses import dataclass
from statistics import fmean

from markupsafe import Markup

from sam2_video.report.charts import Axis, Line, even_ticks, line_chart, smooth, step_axis
from sam2_video.report.run_folder import METRIC_NAMES, RunFolder, Scores

SCORE_STYLES = ("tuned", "second", "third")
SCORE_TICKS = (0, 0.2, 0.4, 0.6, 0.8, 1)


@dataclass(frozen=True)
class Chart:
    """A chart with what stands around it; `legend` are names and styles of its lines."""

    title: str
    svg: Markup
    legend: tuple[tuple[str, str], ...]
    note: str = ""


def make_charts(run: RunFolder) -> list[Chart]:
    """Return the charts for which there is anything to show."""
    charts = [_score_chart(run), _loss_chart(run), _fading_chart(run)]
    return [chart for chart in charts if chart is not None]


def _chart(title: str, lines: list[Line], x: Axis, y: Axis, note: str = "") -> Chart:
    legend = tuple((line.name, line.style) for line in lines if line.name)
    return Chart(title, line_chart(title, lines, x, y), legend, note)


def _last_step(run: RunFolder) -> float:
    return max((row["step"] for row in run.rows), default=0.0)


def _score_chart(run: RunFolder) -> Chart | None:
    last = _last_step(run)
    found = {name: run.curve(f"val/{key}") for key, name in METRIC_NAMES.items()}
    found = {name: points for name, points in found.items() if points}
    lines = [
        Line(f"validation {name}", points, style, is_marked=True)
        for (name, points), style in zip(found.items(), SCORE_STYLES, strict=False)
    ]
    if training := run.curve("train/J"):
        lines.append(Line("J of training clips", smooth(training), "soft"))
    if found and (first := next(iter(found.values()))[0])[0] == 0:
        lines.insert(0, Line("zero-shot", [(0, first[1]), (last, first[1])], "zero-shot dashed"))
    if not lines:
        return None
    return _chart("Scores", lines, step_axis(last), Axis("score", 0, 1, SCORE_TICKS))


def _loss_chart(run: RunFolder) -> Chart | None:
    points = [point for point in run.curve("train/loss") if point[1] > 0]
    if not points:
        return None
    smoothed = smooth(points)
    values = [value for _, value in smoothed]
    low, high = min(values) / 1.3, max(values) * 1.3
    # where the loss changes little, powers of ten would leave the axis without a number
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [m * 10.0**d for d in decades for m in (1, 2, 5) if low <= m * 10.0**d <= high]
    if len(ticks) < 2:
        ticks = even_ticks(low, high, 4)
    y = Axis("loss (log scale)", low, high, ticks, is_log=True)
    lines = [Line("mean", smoothed, "ink"), Line("each step", points, "pale")]
    if len(smoothed) == len(points) and smoothed == points:
        lines = [Line("total", points, "ink")]
    return _chart("Training loss", lines, step_axis(_last_step(run)), y)


def _fading_chart(run: RunFolder) -> Chart | None:
    curves = [("zero-shot", "zero-shot dashed", run.scores.get("zero_shot"))]
    best = run.scores.get("best")
    has_improved = best is not None and best.step != 0
    tuned = best if has_improved else run.scores.get("last")
    if tuned is not None and tuned.step != 0:
        curves.append(("tuned" if has_improved else "last", "tuned", tuned))
    lines = [
        Line(name, points, style, is_marked=True)
        for name, style, scores in curves
        if scores is not None and (points := _fading(scores))
    ]
    distances = sorted({distance for line in lines for distance, _ in line.points})
    if len(distances) < 2:
        return None
    octaves = [2**power for power in range(20) if 2**power in distances]
    x = Axis(
        "frames since the prompt (log scale)", distances[0], distances[-1], octaves, is_log=True
    )
    note = "Mean J over objects: a line that falls shows how memory fades."
    return _chart("How memory fades", lines, x, Axis("J", 0, 1, SCORE_TICKS), note)


def _fading(scores: Scores) -> list[tuple[int, float]]:
    by_distance: dict[int, list[float]] = {}
    for video in scores.videos:
        for entry in video.objects:
            for distance, value in entry.by_distance.items():
                by_distance.setdefault(distance, []).append(value)
    return [(distance, fmean(values)) for distance, values in sorted(by_distance.items())]
