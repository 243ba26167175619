"""Write files whole or not at all, and read back the tables among them."""

import csv
import io
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a temporary name beside a path; what is there at the end takes the path's place.

    A file or a folder, on the disk before it is renamed; after an error nothing is left of it, and
    what was at the path stays. Its folder is made. One process at a time may write to a path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    _remove(part)
    try:
        yield part
        _flush(part)
        if part.is_dir() and path.is_dir():
            old = path.with_name(f".{path.name}.old")
            path.replace(old)
            part.replace(path)
            _remove(old)
        else:
            part.replace(path)
    finally:
        _remove(part)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all; several processes may, the last one wins.

    What is no file, such as a pipe, is written to as it is.
    """
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8", newline="\n")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        _flush(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON, whole or not at all; a number that is none becomes null, which JSON knows."""
    write_text(path, json.dumps(_plain(content), indent=2, allow_nan=False) + "\n")


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write a table as CSV; a value that a row lacks is left empty."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, buffer.getvalue())


def read_numbers(path: Path) -> list[dict[str, float]]:
    """Read a table of numbers as `write_rows` writes it; no file has no rows."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {name: float(value) for name, value in row.items() if value}
            for row in csv.DictReader(file)
        ]


def _plain(value: Any) -> Any:  # noqa: ANN401 (whatever JSON can hold)
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def _flush(path: Path) -> None:
    """Wait until a file, or each file of a folder, is on the disk: a rename may come before."""
    files = [inner for inner in path.rglob("*") if inner.is_file()] if path.is_dir() else [path]
    for file in files:
        with file.open("r+b") as handle:
            os.fsync(handle.fileno())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
