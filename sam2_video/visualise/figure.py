"""Matplotlib figures of one look, made without its global state, as pictures."""

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sam2_video.colours import OBJECT_COLOURS

DPI = 120
COLOURS = tuple(tuple(part / 255 for part in colour) for colour in OBJECT_COLOURS)
ZERO_SHOT, TUNED = COLOURS[4], COLOURS[5]
INK, SOFT_INK, GRID = "#141414", "#6a6a6a", "#e4e4e4"


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def rasterise(figure: Figure) -> UInt8[np.ndarray, "height width 3"]:
    """Return the figure's pixels."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def finish(axes: Axes) -> None:
    """Give a panel its grid and, beside it, its legend, or say that there is nothing to show."""
    axes.grid(visible=True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if any(len(np.asarray(line.get_xdata())) for line in axes.lines):
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.02), frameon=False)
        return
    axes.set_yticks([])
    place = {"transform": axes.transAxes, "ha": "center", "va": "center"}
    axes.text(0.5, 0.5, "nothing was logged", color=SOFT_INK, **place)
