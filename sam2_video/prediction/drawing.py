"""Draw tracked frames: each with its objects, and a sheet of some of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from sam2_video.colours import object_colour
from sam2_video.visualise.labels import Label, label_extent, place_labels
from sam2_video.visualise.paint import fit_frame, fit_masks, paint_masks
from sam2_video.visualise.sheet import DARKEST_LIGHT, INK, PAPER, SOFT_INK, load_font

Picture = UInt8[np.ndarray, "height width 3"]

# Where names stand is found on masks of this longer side: it takes a fraction of the time.
_PLACING_SIDE = 320
_SHEET_WIDTH, _HIGHEST_CELL, _GAP, _TEXT = 1920, 480, 12, 24
_MOST_CELLS = 12


@dataclass(frozen=True)
class Shot:
    """A drawn frame of the sheet, and what stands below it."""

    picture: Picture
    caption: str


def draw_frame(
    frame: UInt8[Tensor, "3 _height _width"],
    masks: Bool[Tensor, "objects _height _width"],
    object_ids: Sequence[int],
    size: tuple[int, int],
) -> UInt8[np.ndarray, "height width 3"]:
    """Return a frame at (height, width) `size` with the masks and names of its objects."""
    fitted = fit_masks(masks, size)
    picture = paint_masks(fit_frame(frame, size), fitted)
    scale = min(_PLACING_SIDE / max(size), 1.0)
    small = fit_masks(masks, (max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)))
    text = min(max(round(max(size) / 40), 16), min(size) // 6)
    labels = place_labels(small, [str(name) for name in object_ids], max(round(text * scale), 1))
    placed = [Label(x.text, round(x.x / scale), round(x.y / scale), x.colour) for x in labels]
    return _write_labels(picture, placed, text)


def _write_labels(
    picture: UInt8[np.ndarray, "height width 3"], labels: Sequence[Label], text: int
) -> UInt8[np.ndarray, "height width 3"]:
    page = Image.fromarray(picture)
    draw, font = ImageDraw.Draw(page), load_font("DejaVuSans-Bold", text)
    for label in labels:
        draw.rounded_rectangle(label_extent(label, text), text / 4, label.colour, INK)
        # the weights of red, green and blue in the lightness that is seen
        is_light = float(np.dot(label.colour, (0.299, 0.587, 0.114))) > DARKEST_LIGHT
        draw.text((label.x, label.y), label.text, INK if is_light else PAPER, font, anchor="mm")
    return np.array(page)


def choose_shots(num_frames: int) -> list[int]:
    """Return the frames of a sheet: the first, the last, and some evenly between.

    >>> choose_shots(3), choose_shots(100)[:3]
    ([0, 1, 2], [0, 9, 18])
    """
    return np.linspace(0, num_frames - 1, min(_MOST_CELLS, num_frames)).round().astype(int).tolist()


def shot_size(size: tuple[int, int], num_shots: int) -> tuple[int, int]:
    """Return height and width of the pictures of a sheet of so many frames of a size."""
    columns = _columns(size, num_shots)
    scale = min((_SHEET_WIDTH / columns - _GAP) / size[1], _HIGHEST_CELL / size[0])
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def _columns(size: tuple[int, int], num_shots: int) -> int:
    """Return how many pictures stand side by side: more of high ones."""
    return min(4 if size[1] >= size[0] else 6, num_shots)


def draw_sheet(
    title: str, object_ids: Sequence[int], shots: Sequence[Shot]
) -> UInt8[np.ndarray, "height width 3"]:
    """Return pictures of one size in rows, with a title and the colours of the objects above."""
    height, width = shots[0].picture.shape[:2]
    columns = _columns((height, width), len(shots))
    rows = -(-len(shots) // columns)
    plain, bold = load_font("DejaVuSans", _TEXT), load_font("DejaVuSans-Bold", _TEXT)
    legend = _lay_out_legend(object_ids, plain, max(columns * (width + _GAP) - _GAP, 640))
    line = round(1.5 * _TEXT)
    top = _GAP + line * (2 + legend[-1][1])
    page_width = max(columns * (width + _GAP), 640) + _GAP
    page = Image.new("RGB", (page_width, top + rows * (height + line + _GAP)), PAPER)
    draw = ImageDraw.Draw(page)
    shown = _shorten(title, bold, page_width - 2 * _GAP)
    draw.text((_GAP, _GAP + line / 2), shown, INK, bold, anchor="lm")
    for row, (x, number) in enumerate(legend):
        middle = _GAP + (1.5 + number) * line
        box = (_GAP + x, middle - _TEXT / 2, _GAP + x + _TEXT, middle + _TEXT / 2)
        draw.rectangle(box, object_colour(row), INK)
        place = (box[2] + _GAP / 2, middle)
        draw.text(place, f"object {object_ids[row]}", INK, plain, anchor="lm")
    for number, shot in enumerate(shots):
        left = _GAP + number % columns * (width + _GAP)
        above = top + number // columns * (height + line + _GAP)
        page.paste(Image.fromarray(shot.picture), (left, above))
        place = (left + width / 2, above + height + line / 2)
        caption = _shorten(shot.caption, plain, width)
        draw.text(place, caption, SOFT_INK, plain, anchor="mm")
    return np.array(page)


def _lay_out_legend(
    object_ids: Sequence[int], font: ImageFont.FreeTypeFont, limit: int
) -> list[tuple[int, int]]:
    """Return x and line of each object's entry."""
    places: list[tuple[int, int]] = []
    x, line = 0, 0
    for name in object_ids:
        width = round(_TEXT + _GAP / 2 + font.getlength(f"object {name}"))
        if x and x + width > limit:
            x, line = 0, line + 1
        places.append((x, line))
        x += width + 2 * _GAP
    return places


def _shorten(text: str, font: ImageFont.FreeTypeFont, limit: int) -> str:
    """Return the text, or as much of its start as fits."""
    if font.getlength(text) <= limit:
        return text
    while text and font.getlength(f"{text}…") > limit:
        text = text[:-1]
    return f"{text}…"
