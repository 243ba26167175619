"""Draw the loss, the scores and the learning rate of a run from the rows of its `metrics.csv`."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sam2_video.visualise.figure import COLOURS, INK, TUNED, finish, new_figure, rasterise

Rows = Sequence[Mapping[str, int | float]]

TOTAL, TRAIN_J = "train/loss", "train/J"
VALIDATION = {"val/JF": "J&F", "val/J": "J", "val/F": "F"}
"""What validations measure; the first of them that was logged is the one that decides."""
AVERAGED = "val_ema/JF"
TRAIN_PREFIX, RATE_PREFIX = "train/", "lr-"
TRAIN_COLOUR, RATE_COLOUR = COLOURS[1], COLOURS[4]
SCORE_STYLES = (("o-", TUNED, 2.2), ("s--", COLOURS[6], 1.6), ("^:", COLOURS[2], 1.6))
LINE_STYLES = ("-", "--", "-.", ":")
MOST_MARKED_POINTS = 30
LEAST_SMOOTHED_POINTS = 60


def draw_curves(rows: Rows) -> UInt8[np.ndarray, "height width 3"]:
    """Return a picture of the loss terms, the scores of training and validation, and the rate.

    Args:
        rows: as for `curves_figure`.
    """
    return rasterise(curves_figure(rows))


def curves_figure(rows: Rows) -> Figure:
    """Return the figure of a run's curves; matplotlib's global state has no part in it.

    Args:
        rows: one a step, with `step` and any of `train/*`, `val/J`, `val/F`, `val/JF` and `lr-*`;
            a value that was not logged is absent or NaN. A validation of step 0 is that of the
            weights before training (zero-shot).
    """
    figure = new_figure(10.5, 10.0)
    losses, scores, rate = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1.2))
    _draw_losses(losses, rows)
    _draw_scores(scores, rows)
    _draw_rate(rate, rows)
    for axes in (losses, scores, rate):
        finish(axes)
    last = max((row["step"] for row in rows), default=0)
    margin = max(0.03 * last, 0.5)
    rate.set_xlim(-margin, last + margin)
    rate.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    rate.set_xlabel("optimisation step")
    return figure


def _draw_losses(axes: Axes, rows: Rows) -> None:
    axes.set_ylabel("loss (log scale)")
    terms = [key for key in _keys(rows, TRAIN_PREFIX) if key not in (TOTAL, TRAIN_J)]
    is_any_positive = False
    for number, key in enumerate([TOTAL, *terms]):
        points = _points(rows, key)
        name = "total" if key == TOTAL else key.removeprefix(TRAIN_PREFIX)
        positive = points[points[:, 1] > 0]
        if len(points) and not len(positive):
            axes.plot([], [], " ", label=f"{name} (not above 0)")
        is_any_positive |= len(positive) > 0
        colour = INK if key == TOTAL else COLOURS[(number - 1) % len(COLOURS)]
        style = LINE_STYLES[(number - 1) // len(COLOURS) % len(LINE_STYLES)] if number else "-"
        _plot(axes, positive, name, colour, style, width=2.4 if key == TOTAL else 1.6)
    if is_any_positive:
        axes.set_yscale("log")
        # the pale curves of single batches may reach far down, and leave no room to the others
        means = np.concatenate(
            [line.get_ydata() for line in axes.lines if line.get_alpha() is None]
        )
        axes.set_ylim(means.min() / 2, means.max() * 2)


def _draw_scores(axes: Axes, rows: Rows) -> None:
    axes.set_ylabel("score")
    axes.set_ylim(0, 1)
    _plot(axes, _points(rows, TRAIN_J), "J of training clips", TRAIN_COLOUR, "-")
    curves = {name: _points(rows, key) for key, name in VALIDATION.items()}
    curves = {name: points for name, points in curves.items() if len(points)}
    if not curves:
        axes.plot([], [], " ", label="no validation")
        return
    for (name, points), (style, colour, width) in zip(curves.items(), SCORE_STYLES, strict=False):
        label = f"{name} of validation videos"
        axes.plot(*points.T, style, color=colour, linewidth=width, label=label)
    averaged = _points(rows, AVERAGED)
    if len(averaged):
        colour = COLOURS[3]
        label = f"{VALIDATION['val/JF']} of averaged weights"
        axes.plot(*averaged.T, "v-.", color=colour, linewidth=1.6, label=label)
    points = next(iter(curves.values()))
    if points[0, 0] == 0:
        before = points[0, 1]
        axes.axhline(before, color=TUNED, linestyle=":", linewidth=1.4)
        label = f"zero-shot: {before:.3f}"
        axes.plot(0, before, "D", color=TUNED, markeredgecolor=INK, markersize=9, label=label)
    candidates = np.concatenate([points, averaged])
    best = candidates[candidates[:, 1].argmax()]
    label = f"best: {best[1]:.3f} at step {best[0]:.0f}"
    axes.plot(*best, "*", color=TUNED, markeredgecolor=INK, markersize=15, label=label)
    axes.plot([], [], " ", label=f"last: {points[-1, 1]:.3f}")


def _draw_rate(axes: Axes, rows: Rows) -> None:
    axes.set_ylabel("learning rate")
    # groups of parameters that differ in other settings share their rate, and then a curve
    groups: dict[bytes, list[str]] = {}
    for key in _keys(rows, RATE_PREFIX):
        groups.setdefault(_points(rows, key).tobytes(), []).append(key)
    for number, keys in enumerate(groups.values()):
        name = "all parameters" if len(groups) == 1 else ", ".join(keys)
        style = LINE_STYLES[number % len(LINE_STYLES)]
        _plot(axes, _points(rows, keys[0]), name, RATE_COLOUR, style, is_smoothed=False)
    if groups:
        axes.set_ylim(bottom=0)
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))


def _plot(
    axes: Axes,
    points: Float[np.ndarray, "points 2"],
    name: str,
    colour: str | tuple[float, ...],
    style: str,
    *,
    width: float = 1.8,
    is_smoothed: bool = True,
) -> None:
    """Draw a curve; one of many points as a running mean over its pale self."""
    if not len(points):
        return
    steps, values = points.T
    if is_smoothed and len(points) >= LEAST_SMOOTHED_POINTS:
        axes.plot(steps, values, color=colour, linewidth=0.8, alpha=0.3)
        values = _running_mean(values, len(values) // 20)
    marker = "o" if len(points) <= MOST_MARKED_POINTS else ""
    axes.plot(
        steps,
        values,
        color=colour,
        linestyle=style,
        linewidth=width,
        marker=marker,
        markersize=4,
        label=name,
    )


def _running_mean(values: Float[np.ndarray, " points"], reach: int) -> Float[np.ndarray, " points"]:
    """Return the mean over up to `reach` neighbours on either side, fewer at the ends.

    >>> _running_mean(np.array([0.0, 3.0, 6.0, 0.0]), 1).tolist()
    [1.5, 3.0, 3.0, 3.0]
    """
    sums = np.concatenate([[0.0], values.cumsum()])
    places = np.arange(len(values))
    first, last = np.maximum(places - reach, 0), np.minimum(places + reach + 1, len(values))
    return (sums[last] - sums[first]) / (last - first)


def _points(rows: Rows, key: str) -> Float[np.ndarray, "points 2"]:
    """Return step and value of a metric, by rising step, where it was logged."""
    points = [(row["step"], row[key]) for row in rows if key in row and math.isfinite(row[key])]
    return np.array(sorted(points), dtype=float).reshape(-1, 2)


def _keys(rows: Rows, prefix: str) -> list[str]:
    """Return the metrics with a prefix, in the order in which they were first logged."""
    return list(dict.fromkeys(key for row in rows for key in row if key.startswith(prefix)))
