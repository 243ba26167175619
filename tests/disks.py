"""Small disks that tests mount, fill, make read-only and take away; only root may."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(path: Path, size: str = "80m") -> Iterator[Path]:
    """Mount a disk at a path, until the end of the block or `take_away`."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    path.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=False, capture_output=True)


def fill(disk: Path, room: int = 0) -> None:
    """Leave this many bytes free."""
    free = os.statvfs(disk)
    size = free.f_bavail * free.f_frsize - room
    with (disk / "filler").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)


def make_read_only(disk: Path) -> None:
    """Refuse all writing, as after an error of the disk."""
    # the system does not while a file is open for writing
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)


def take_away(disk: Path) -> None:
    """Leave the empty folder on which the disk was mounted."""
    subprocess.run(["umount", "-l", disk], check=True)
