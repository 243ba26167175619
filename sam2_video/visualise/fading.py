"""Draw how memory fades: J against the distance from the prompt."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from sam2_video.visualise.figure import TUNED, ZERO_SHOT, finish, new_figure, rasterise

Fading = Mapping[int, Sequence[float]]
"""By distance in frames, J of each object that is scored there."""

COLOURS = (ZERO_SHOT, TUNED)
MARKERS = ("o--", "s-")


def draw_fading(curves: Mapping[str, Fading]) -> UInt8[np.ndarray, "height width 3"]:
    """Return a picture of the mean J over objects by distance, with the middle half as a band.

    Args:
        curves: by name, zero-shot first, then tuned.
    """
    return rasterise(fading_figure(curves))


def fading_figure(curves: Mapping[str, Fading]) -> Figure:
    """Return the figure of `draw_fading`."""
    figure = new_figure(10.5, 5.0)
    axes = figure.subplots()
    axes.set_title("how memory fades", loc="left", fontweight="bold")
    axes.set_ylabel("region similarity J")
    axes.set_ylim(0, 1)
    axes.set_xlabel("frames since the prompt (log scale)")
    for (name, fading), colour, marker in zip(curves.items(), COLOURS, MARKERS, strict=False):
        _draw(axes, name, fading, colour, marker)
    distances = sorted({distance for fading in curves.values() for distance in fading})
    if distances:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(distances))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.0f}"))
        axes.xaxis.set_minor_locator(NullLocator())
    finish(axes)
    return figure


def _draw(axes: Axes, name: str, fading: Fading, colour: tuple[float, ...], marker: str) -> None:
    distances = sorted(distance for distance, values in fading.items() if len(values))
    if not distances:
        return
    values = [np.asarray(fading[distance], dtype=float) for distance in distances]
    low, high = (np.array([np.quantile(v, share) for v in values]) for share in (0.25, 0.75))
    means = np.array([v.mean() for v in values])
    axes.fill_between(distances, low, high, color=colour, alpha=0.13, linewidth=0)
    axes.plot(distances, means, marker, color=colour, linewidth=2.2, label=name)
