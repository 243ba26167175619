"""Count the values of a PNG of at most 16 colours as they are stored, several pixels in a byte.

Unpacking them to a byte each, and counting these, takes half as long again. Whatever is unusual
or damaged is not counted here: Pillow reads it, and says what is wrong.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64
from PIL import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER_BYTES = len(_SIGNATURE) + 25
_GREY, _PALETTE = 0, 3
# chunks that change no pixel's value; of others Pillow may think something
_IDLE = {b"PLTE", b"tRNS", b"pHYs", b"gAMA", b"sRGB", b"cHRM"}
_MOST_EXTRA = 2**16
"""Bytes that a file may have beyond those of its pixels."""


@dataclass(frozen=True)
class _Header:
    """Size in pixels, and bits of each."""

    height: int
    width: int
    depth: int

    @property
    def row(self) -> int:
        """Return the bytes of a row of pixels."""
        return -(-self.width * self.depth // 8)


def count_packed_values(path: Path, size: tuple[int, int]) -> Int64[np.ndarray, " values"] | None:
    """Return how many pixels have each value, palette index or grey as it is stored.

    None for anything but a whole PNG of the height and width given, with 1, 2 or 4 bits a pixel.
    """
    try:
        with path.open("rb") as file:
            header = _read_header(file.read(_HEADER_BYTES))
            if header is None or (header.height, header.width) != size:
                return None
            pixels = _join_pixels(file.read(header.row * header.height + _MOST_EXTRA))
        if pixels is None:
            return None
        rows = Image.frombytes("L", (header.row, header.height), pixels, "zip", "L")
    except (OSError, ValueError):
        return None
    return _count(rows, header)


def _read_header(start: bytes) -> _Header | None:
    chunk = next(_chunks(start[len(_SIGNATURE) :]), None)
    if not start.startswith(_SIGNATURE) or chunk is None or len(chunk[1]) != 13:
        return None
    width, height, depth, colours, *methods = struct.unpack(">IIBBBBB", chunk[1])
    is_packed = depth in (1, 2, 4) and colours in (_GREY, _PALETTE) and not any(methods)
    return _Header(height, width, depth) if chunk[0] == b"IHDR" and is_packed else None


def _join_pixels(content: bytes) -> bytes | None:
    """Return the compressed pixels, where the chunks after the header are whole and usual."""
    parts = []
    for kind, data in _chunks(content):
        if kind == b"IEND":
            return b"".join(parts)
        if kind == b"IDAT":
            parts.append(data)
        elif kind not in _IDLE:
            return None
    return None


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and data of each chunk, up to one that is cut off or damaged."""
    place = 0
    while place + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        end = place + 8 + length
        if end + 4 > len(content):
            return
        if zlib.crc32(content[place + 4 : end]) != struct.unpack_from(">I", content, end)[0]:
            return
        yield content[place + 4 : place + 8], content[place + 8 : end]
        place = end + 4


def _count(rows: Image.Image, header: _Header) -> Int64[np.ndarray, " values"]:
    table = _TABLES[header.depth]
    counts = table.sum(0) @ np.array(rows.histogram())
    unused = header.row * len(table) - header.width
    if unused:  # the last byte of a row has room for more pixels than the row
        last = rows.crop((header.row - 1, 0, header.row, header.height))
        counts -= table[len(table) - unused :].sum(0) @ np.array(last.histogram())
    return counts


def _make_table(depth: int) -> Int64[np.ndarray, "places values 256"]:
    """Return of each place in a byte, the leftmost pixel first, which bytes hold a value there."""
    shifts = np.arange(8 - depth, -1, -depth)
    held = np.arange(256) >> shifts[:, None] & 2**depth - 1
    return (held[:, None] == np.arange(2**depth)[:, None]).astype(np.int64)


_TABLES = {depth: _make_table(depth) for depth in (1, 2, 4)}
