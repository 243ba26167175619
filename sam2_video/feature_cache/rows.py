"""The file of one encoded video: a row of numbers a frame, memory-mapped and checksummed.

A header of whole kilobytes comes first, then one row a frame: its three levels, one after another.
The first line of the header is its own checksum, the second its content as JSON.
"""

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from sam2_video.files import whole
from sam2_video.structures import FrameLevels

SUFFIX = ".features"
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
VERSION = 1
_MAGIC = b"sam2-video features\n"
_BLOCK = 4096
_MISSING = "missing"


@dataclass(frozen=True)
class RowLayout:
    """What the rows of a file hold: the shapes of a frame's levels, and how they are stored.

    A level whose channels lie together comes back so: kernels, and so the last bits of what is
    computed, depend on it.
    """

    shapes: tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]]
    are_channels_last: tuple[bool, bool, bool]
    dtype: str
    is_projected: bool

    @classmethod
    def of(cls, levels: FrameLevels, dtype: str) -> "RowLayout":
        """Return the layout of rows of such levels."""
        embedding, half, quarter = (
            (level.shape[1], level.shape[2], level.shape[3]) for level in levels.levels
        )
        first, second, third = (
            level.is_contiguous(memory_format=torch.channels_last) and not level.is_contiguous()
            for level in levels.levels
        )
        orders = first, second, third
        return cls((embedding, half, quarter), orders, dtype, levels.is_projected)

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """Where each level begins in a row and ends, in bytes."""
        sizes = [prod(shape) * DTYPES[self.dtype].itemsize for shape in self.shapes]
        return tuple(np.cumsum([0, *sizes]).tolist())

    @property
    def num_bytes(self) -> int:
        """Bytes of a row."""
        return self.ends[-1]

    def pack(self, levels: FrameLevels) -> UInt8[np.ndarray, "images bytes"]:
        """Return frames as rows."""
        assert tuple(tuple(x.shape[1:]) for x in levels.levels) == self.shapes
        flat = [
            (level.permute(0, 2, 3, 1) if is_last else level)
            .to("cpu", DTYPES[self.dtype])
            .reshape(len(level), -1)
            for level, is_last in zip(levels.levels, self.are_channels_last, strict=True)
        ]
        return torch.cat(flat, dim=1).view(torch.uint8).numpy()

    def unpack(self, rows: Sequence[UInt8[np.ndarray, " bytes"]]) -> FrameLevels:
        """Return rows, which are copied, as frames."""
        levels = []
        for place, (channels, height, width) in enumerate(self.shapes):
            copied = np.stack([row[self.ends[place] : self.ends[place + 1]] for row in rows])
            stored = torch.from_numpy(copied).view(DTYPES[self.dtype])
            if self.are_channels_last[place]:
                level = stored.unflatten(1, (height, width, channels)).permute(0, 3, 1, 2)
            else:
                level = stored.unflatten(1, (channels, height, width))
            levels.append(level)
        return FrameLevels(*levels, is_projected=self.is_projected)


@dataclass(frozen=True)
class EncodedRows:
    """A file of rows; it is opened anew for each reading, so any process may hold it.

    What is read is copied out of pages that all processes share.
    """

    path: Path
    num_rows: int
    layout: RowLayout

    def read(self, frames: Sequence[int]) -> FrameLevels:
        """Read some frames, one as often as it is named."""
        rows = np.memmap(
            self.path,
            dtype=np.uint8,
            mode="r",
            offset=header_bytes(self.num_rows, self.layout),
            shape=(self.num_rows, self.layout.num_bytes),
        )
        return self.layout.unpack([rows[frame] for frame in frames])


def write_rows(
    path: Path, num_rows: int, layout: RowLayout, chunks: Iterable[FrameLevels]
) -> EncodedRows:
    """Write the frames of a video, whole or not at all."""
    checksums: list[int] = []
    num_bytes = header_bytes(num_rows, layout) + num_rows * layout.num_bytes
    with whole(path, num_bytes) as part, part.open("wb") as file:
        # what says that the rows are right is written when they are
        file.write(bytes(header_bytes(num_rows, layout)))
        for levels in chunks:
            for row in layout.pack(levels):
                checksums.append(zlib.crc32(row))
                file.write(row)
        assert len(checksums) == num_rows, f"{path}: {len(checksums)} of {num_rows} frames came"
        file.seek(0)
        file.write(_header(checksums, layout))
    return EncodedRows(path, num_rows, layout)


def find_fault(
    path: Path, num_rows: int, layout: RowLayout, *, are_rows_checked: bool
) -> str | None:
    """Return what is wrong with a file, None if nothing is.

    Args:
        path: Of the file.
        num_rows: Frames that it should hold.
        layout: Of its rows.
        are_rows_checked: Read all of it, in place of its header and its size alone.
    """
    size = header_bytes(num_rows, layout)
    expected = size + num_rows * layout.num_bytes
    if not path.is_file():
        return _MISSING
    if path.stat().st_size != expected:
        return f"has {path.stat().st_size:,} bytes in place of {expected:,}"
    with path.open("rb") as file:
        header = file.read(size)
        checksums = _read_header(header)
        if checksums is None or header != _header(checksums, layout):
            return "its header is damaged, or another file's"
        for number, checksum in enumerate(checksums if are_rows_checked else ()):
            if zlib.crc32(file.read(layout.num_bytes)) != checksum:
                return f"frame {number} is damaged: its checksum is another"
    return None


def is_missing(fault: str) -> bool:
    """Say whether a fault is that there is no file."""
    return fault == _MISSING


def header_bytes(num_rows: int, layout: RowLayout) -> int:
    """Return the size of a header."""
    return len(_header([0] * num_rows, layout))


def _header(checksums: Sequence[int], layout: RowLayout) -> bytes:
    content = {
        "version": VERSION,
        "shapes": layout.shapes,
        "are_channels_last": layout.are_channels_last,
        "dtype": layout.dtype,
        "is_projected": layout.is_projected,
        "checksums": "".join(f"{checksum:08x}" for checksum in checksums),
    }
    body = json.dumps(content).encode()
    text = _MAGIC + f"{zlib.crc32(body):08x}\n".encode() + body + b"\n"
    return text.ljust(-(-len(text) // _BLOCK) * _BLOCK)


def _read_header(header: bytes) -> list[int] | None:
    """Return the checksums of the rows; None where the header is not what was written."""
    magic, checksum, body = [*header.split(b"\n", 2), b"", b""][:3]
    body = body.rstrip()
    if magic + b"\n" != _MAGIC or checksum != f"{zlib.crc32(body):08x}".encode():
        return None
    try:
        digits = json.loads(body)["checksums"]
        return [int(digits[start : start + 8], 16) for start in range(0, len(digits), 8)]
    except (ValueError, LookupError, TypeError, RecursionError):  # another program's, well sealed
        return None
