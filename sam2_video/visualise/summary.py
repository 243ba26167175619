"""Draw what a data set holds: objects, their sizes, and when they are visible."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from sam2_video.visualise.figure import COLOURS, GRID, INK, SOFT_INK, new_figure, rasterise

MEMORY_CELL = 16  # pixels of the input that one cell of memory stands for
TICKS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
MOST_OBJECTS = 6
LONGEST_NAME = 22
NARROWEST_PIECE = 0.004  # of the axis: one frame of thousands is still seen
ROW_HEIGHT, MARGIN_HEIGHT = 0.2, 1.7  # inches


@dataclass(frozen=True)
class ObjectTimes:
    """What some frames of a video say about its objects.

    `frames` are the labelled frames that were looked at, every `step`-th of them. `sides` are
    square roots of visible areas in pixels of the model's input, 0 where an object is absent;
    where `labelled` is False the frame says nothing of the object.
    """

    video_id: str
    num_frames: int
    object_ids: tuple[int, ...]
    frames: Int[np.ndarray, " frames"]
    step: int
    sides: Float[np.ndarray, "objects frames"]
    labelled: Bool[np.ndarray, "objects frames"]


def draw_data_summary(
    videos: Sequence[ObjectTimes], title: str, image_size: tuple[int, int]
) -> UInt8[np.ndarray, "height width 3"]:
    """Return a picture with a line an object: when it is visible, and how large it is.

    Args:
        videos: at least one.
        title: above all.
        image_size: height and width of the model's input.
    """
    return rasterise(data_summary_figure(videos, title, image_size))


def data_summary_figure(
    videos: Sequence[ObjectTimes], title: str, image_size: tuple[int, int]
) -> Figure:
    """Return the figure of `draw_data_summary`."""
    num_rows = sum(min(len(v.object_ids), MOST_OBJECTS) + 1 for v in videos)
    figure = new_figure(12.0, MARGIN_HEIGHT + ROW_HEIGHT * num_rows)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    times, sizes = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    top = 0
    places: list[float] = []
    names: list[str] = []
    for video in videos:
        count = min(len(video.object_ids), MOST_OBJECTS)
        for row in range(count):
            _draw_times(times, video, row, top + row)
            _draw_sizes(sizes, video, row, top + row)
        times.axhline(top + count - 0.1, color=GRID, linewidth=0.8)
        sizes.axhline(top + count - 0.1, color=GRID, linewidth=0.8)
        places.append(top + (count - 1) / 2)
        names.append(_name(video))
        top += count + 1
    times.set_yticks(places, names)
    times.set_ylim(top - 0.6, -0.9)
    times.set_xlabel("frame (share of the video)")
    times.set_title("visible over time: thin = absent, gap = no label", loc="left", fontsize=10)
    times.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:.0f} %"))
    _finish_sizes(sizes, image_size)
    for axes in (times, sizes):
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    return figure


def _name(video: ObjectTimes) -> str:
    name = " ".join(video.video_id.split())
    if len(name) > LONGEST_NAME:
        name = f"…{name[1 - LONGEST_NAME :]}"
    # a dollar sign would start a formula
    name = name.replace("$", r"\$")
    more = len(video.object_ids) - MOST_OBJECTS
    return f"{name} (+{more} object{'s' * (more > 1)})" if more > 0 else name


def _draw_times(axes: Axes, video: ObjectTimes, row: int, y: int) -> None:
    """Draw each frame that was looked at as a piece, which stands for the frames up to the next."""
    if len(video.object_ids) > 1:
        axes.annotate(
            str(video.object_ids[row]),
            (0, y),
            (-4, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=8,
            color=SOFT_INK,
        )
    starts = video.frames / video.num_frames
    widths = np.full(len(starts), max(video.step / video.num_frames, NARROWEST_PIECE))
    is_visible = video.labelled[row] & (video.sides[row] > 0)
    is_absent = video.labelled[row] & (video.sides[row] == 0)
    for chosen, height in ((is_visible, 0.7), (is_absent, 0.12)):
        pieces = list(zip(starts[chosen], widths[chosen], strict=True))
        colour = COLOURS[row % len(COLOURS)]
        axes.broken_barh(pieces, (y - height / 2, height), facecolors=colour, linewidth=0)


def _draw_sizes(axes: Axes, video: ObjectTimes, row: int, y: int) -> None:
    """Draw the range of sizes of a visible object, and its median."""
    sides = video.sides[row][video.labelled[row] & (video.sides[row] > 0)]
    if not len(sides):
        return
    colour = COLOURS[row % len(COLOURS)]
    axes.plot([sides.min(), sides.max()], [y, y], color=colour, linewidth=3, alpha=0.55)
    axes.plot(np.median(sides), y, "o", color=colour, markeredgecolor=INK, markersize=6)


def _finish_sizes(axes: Axes, image_size: tuple[int, int]) -> None:
    largest = max(image_size)
    axes.set_xscale("log", base=2)
    axes.set_xlim(1, largest)
    axes.xaxis.set_major_locator(FixedLocator([t for t in TICKS if t <= largest]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(visible=True, axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    height, width = image_size
    axes.set_xlabel(f"side in pixels of the {height} x {width} input (root of the area)")
    axes.set_title("size: smallest, median, largest", loc="left", fontsize=10)
    axes.axvline(MEMORY_CELL, color=SOFT_INK, linewidth=1.2, linestyle="--")
    axes.annotate(
        "one cell of memory",
        (MEMORY_CELL, 1),
        (-4, -3),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=8,
        color=SOFT_INK,
    )
