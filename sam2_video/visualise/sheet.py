"""Lay out a grid of pictures with titles, captions and a legend as one picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from sam2_video.visualise.labels import Label, label_extent

WIDEST = 2000  # pixels of all cells of a row together
CELL_HEIGHT, CELL_WIDTH, NARROWEST_CELL = 360, 480, 160
SMALLEST_TEXT, LARGEST_TEXT = 15, 24
NARROWEST = 640
DARKEST_LIGHT = 115  # of 255: dark text on what is lighter, light text on the rest
PAPER, INK, SOFT_INK = (255, 255, 255), (20, 20, 20), (85, 85, 85)


@dataclass(frozen=True)
class Cell:
    """One picture of the grid, the text under it, and the labels on it."""

    picture: UInt8[np.ndarray, "height width 3"]
    caption: str = ""
    labels: tuple[Label, ...] = ()


@dataclass(frozen=True)
class LegendItem:
    """A small picture and what it stands for."""

    swatch: UInt8[np.ndarray, "height width 3"]
    text: str


@dataclass(frozen=True)
class _Style:
    """Fonts and measures of a sheet, in pixels."""

    plain: ImageFont.FreeTypeFont
    bold: ImageFont.FreeTypeFont
    label: ImageFont.FreeTypeFont
    text: int
    line: int
    gap: int
    left: int
    pitch: int
    width: int


def load_font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """Return a font of those that come with matplotlib, and so are on every machine."""
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf", size)


def cell_size(size: tuple[int, int], num_columns: int) -> tuple[int, int]:
    """Return height and width at which frames of `size` are shown in so many columns."""
    width = min(max(WIDEST // num_columns, NARROWEST_CELL), CELL_WIDTH)
    scale = min(CELL_HEIGHT / size[0], width / size[1])
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def text_size(cell_width: int, num_columns: int) -> int:
    """Return the size of text: larger on wide sheets, which are looked at reduced."""
    return min(max(cell_width * num_columns // 90, SMALLEST_TEXT), LARGEST_TEXT)


def label_size(text: int) -> int:
    """Return the size of labels on pictures, which hide as little as they can."""
    return round(0.8 * text)


def draw_sheet(
    title: str,
    legend: Sequence[LegendItem],
    column_titles: Sequence[tuple[str, str]],
    row_titles: Sequence[str],
    cells: Sequence[Sequence[Cell]],
) -> UInt8[np.ndarray, "height width 3"]:
    """Return the grid `cells[row][column]` as one picture.

    Args:
        title: above all, on as many lines as it needs.
        legend: below the title, on as many lines as it needs.
        column_titles: two lines a column; the second is shortened from its front.
        row_titles: left of each row; may have line breaks.
        cells: all pictures of one size.
    """
    style = _style(cells[0][0].picture.shape[1], len(column_titles), row_titles)
    bands = [
        _title_band(style, title),
        _legend_band(style, legend),
        _column_band(style, column_titles),
        *(_row_band(style, name, row) for name, row in zip(row_titles, cells, strict=True)),
    ]
    page = Image.new("RGB", (style.width, sum(band.height for band in bands) + style.gap), PAPER)
    top = style.gap
    for band in bands:
        page.paste(band, (0, top))
        top += band.height
    return np.array(page)


def _style(cell_width: int, num_columns: int, row_titles: Sequence[str]) -> _Style:
    text = text_size(cell_width, num_columns)
    plain, bold = load_font("DejaVuSans", text), load_font("DejaVuSans-Bold", text)
    label = load_font("DejaVuSans-Bold", label_size(text))
    gap = text // 2
    longest = max(bold.getlength(line) for title in row_titles for line in title.split("\n"))
    left = round(longest) + 4 * gap
    pitch = max(cell_width, 10 * text) + gap
    width = max(left + num_columns * pitch + gap, NARROWEST)
    return _Style(plain, bold, label, text, round(1.35 * text), gap, left, pitch, width)


def _flow(widths: Sequence[float], limit: int, gap: int) -> list[tuple[int, int]]:
    """Return the line and the x of each item when lines are filled one after another."""
    places: list[tuple[int, int]] = []
    line, x = 0, 0.0
    for width in widths:
        if x > 0 and x + width > limit:
            line, x = line + 1, 0.0
        places.append((line, round(x)))
        x += width + gap
    return places


def _new_band(style: _Style, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    band = Image.new("RGB", (style.width, height), PAPER)
    return band, ImageDraw.Draw(band)


def _title_band(style: _Style, title: str) -> Image.Image:
    limit = style.width - 4 * style.gap
    words = [_shorten(word, style.bold, limit) for word in title.split()]
    widths = [style.bold.getlength(word) for word in words]
    places = _flow(widths, limit, round(style.bold.getlength(" ")))
    num_lines = 1 + max((line for line, _ in places), default=-1)
    band, draw = _new_band(style, num_lines * style.line)
    for word, (line, x) in zip(words, places, strict=True):
        at = (2 * style.gap + x, (line + 0.5) * style.line)
        draw.text(at, word, INK, style.bold, anchor="lm")
    return band


def _legend_band(style: _Style, legend: Sequence[LegendItem]) -> Image.Image:
    limit = style.width - 4 * style.gap
    before = style.text + style.gap  # the swatch is as high and wide as the text
    texts = [_shorten(item.text, style.plain, limit - before) for item in legend]
    widths = [before + style.plain.getlength(text) for text in texts]
    places = _flow(widths, limit, 3 * style.gap)
    num_lines = 1 + max((line for line, _ in places), default=-1)
    band, draw = _new_band(style, num_lines * style.line + style.gap)
    for item, text, (line, x) in zip(legend, texts, places, strict=True):
        left, middle = 2 * style.gap + x, (line + 0.5) * style.line
        swatch = Image.fromarray(item.swatch).resize((style.text, style.text))
        band.paste(swatch, (left, round(middle - style.text / 2)))
        draw.text((left + before, middle), text, INK, style.plain, anchor="lm")
    return band


def _column_band(style: _Style, column_titles: Sequence[tuple[str, str]]) -> Image.Image:
    band, draw = _new_band(style, 2 * style.line + style.gap // 2)
    limit = style.pitch - style.gap
    for column, (first, second) in enumerate(column_titles):
        x = style.left + column * style.pitch + limit / 2
        above, below = _shorten(first, style.bold, limit), _shorten(second, style.plain, limit)
        draw.text((x, 0.5 * style.line), above, INK, style.bold, anchor="mm")
        draw.text((x, 1.5 * style.line), below, SOFT_INK, style.plain, anchor="mm")
    return band


def _row_band(style: _Style, title: str, cells: Sequence[Cell]) -> Image.Image:
    lines = title.split("\n")
    height = max(cells[0].picture.shape[0], len(lines) * style.line)
    band, draw = _new_band(style, height + style.line + style.gap)
    for number, line in enumerate(lines):
        y = height / 2 + (number - (len(lines) - 1) / 2) * style.line
        draw.text((2 * style.gap, y), line, INK, style.bold, anchor="lm")
    for column, cell in enumerate(cells):
        picture = Image.fromarray(cell.picture)
        _draw_labels(picture, cell.labels, style)
        middle = style.left + column * style.pitch + (style.pitch - style.gap) // 2
        top = (height - picture.height) // 2
        band.paste(picture, (middle - picture.width // 2, top))
        caption = _shorten(cell.caption, style.plain, style.pitch - style.gap)
        place = (middle, top + picture.height + style.line / 2)
        draw.text(place, caption, INK, style.plain, anchor="mm")
    return band


def _draw_labels(picture: Image.Image, labels: Sequence[Label], style: _Style) -> None:
    draw = ImageDraw.Draw(picture)
    for label in labels:
        size = label_size(style.text)
        draw.rounded_rectangle(label_extent(label, size), size / 4, label.colour, INK)
        # the weights of red, green and blue in the lightness that is seen
        is_light = float(np.dot(label.colour, (0.299, 0.587, 0.114))) > DARKEST_LIGHT
        ink = INK if is_light else PAPER
        draw.text((label.x, label.y), label.text, ink, style.label, anchor="mm")


def _shorten(text: str, font: ImageFont.FreeTypeFont, limit: int) -> str:
    """Return the text, or as much of its end as fits: names of files differ at their ends."""
    if font.getlength(text) <= limit:
        return text
    while text and font.getlength(f"…{text}") > limit:
        text = text[1:]
    return f"…{text}"
