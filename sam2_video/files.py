"""Write files whole or not at all, and read JSON and tables, also those that others wrote."""

import csv
import errno
import io
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NO_ROOM = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
"""What the system says where a disk, a limit on files or a user's share of a disk is full."""


@contextmanager
def whole(path: Path, num_bytes: int | None = None) -> Iterator[Path]:
    """Give a temporary name beside a path; what is there at the end takes the path's place.

    A file or a folder, on the disk before it is renamed; after an error nothing is left of it, and
    what was at the path stays. Its folder is made. One process at a time may write to a path.

    Args:
        path: of the file or folder.
        num_bytes: that it will have, if known: told where there is no room for it.

    Raises:
        OSError: it cannot be written; where there is no room it says how much was needed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    _remove(part)
    try:
        with _telling_room(path, part, num_bytes):
            yield part
            _flush(part)
        if part.is_dir() and path.is_dir():
            old = path.with_name(f".{path.name}.old")
            path.replace(old)
            part.replace(path)
            _remove(old)
        else:
            part.replace(path)
        _flush_names(path.parent)
    finally:
        _remove(part)


def remove_parts(folder: Path) -> None:
    """Remove what a killed process had begun to write in a folder; nobody else may write there."""
    for pattern in (".*.part", ".*.part.*"):
        for part in folder.glob(pattern):
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
        with _telling_room(path, part, len(text.encode())):
            part.write_text(text, encoding="utf-8", newline="\n")
            _flush(part)
        part.replace(path)
        _flush_names(path.parent)
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


def read_json(path: Path, way_out: str = "export the file again") -> Any:  # noqa: ANN401
    """Return what a JSON file holds.

    Args:
        path: The file.
        way_out: What to do about one that is damaged, for the message.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no JSON, or nested as no data are.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: no valid JSON ({error}); {way_out}") from error
    except RecursionError as error:
        raise ValueError(f"{path}: no valid JSON (nested too deeply); {way_out}") from error


def read_numbers(path: Path) -> list[dict[str, float]]:
    """Read a table of numbers as `write_rows` writes it; no file has no rows.

    A last line without an end is left out: it was cut off, perhaps within a number.

    Raises:
        ValueError: it is no such table.
    """
    if not path.is_file():
        return []
    rows = []
    with path.open(encoding="utf-8", newline="") as file:
        try:
            table = csv.DictReader([line for line in file if line.endswith("\n")])
            for row in table:
                # a row longer than the head has a list under None
                rows.append({str(name): float(value) for name, value in row.items() if value})
        except (ValueError, TypeError, csv.Error) as error:
            raise ValueError(f"{path}: no table of numbers ({error}); mend or remove it") from error
    return rows


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


def _flush_names(folder: Path) -> None:
    """Wait until the names in a folder are on the disk: without power a rename is lost else."""
    if hasattr(os, "O_DIRECTORY"):
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


@contextmanager
def _telling_room(path: Path, part: Path, num_bytes: int | None) -> Iterator[None]:
    """Say of a write for which there is no room how much of it there was, and what it takes."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        files = [inner for inner in part.rglob("*") if inner.is_file()] if part.is_dir() else [part]
        room = sum(file.stat().st_size for file in files if file.exists())
        if error.errno == errno.ENOSPC:
            room += shutil.disk_usage(path.parent).free
        needed = f"more than {room / 1e6:.2f}" if num_bytes is None else f"{num_bytes / 1e6:.2f}"
        raise OSError(
            error.errno,
            f"{error.strerror}: it takes {needed} MB, there is room for {room / 1e6:.2f} MB",
            str(path),
        ) from error


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
