"""The file of a training state: written whole, checked before a run goes on from it."""

import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

from lightning.fabric.plugins import TorchCheckpointIO
from torch import Tensor

from sam2_video.files import whole
from sam2_video.model.writing import save_tensors
from sam2_video.training.folder import CHECKPOINTS, LAST, PREVIOUS

_SEAL = b"sam2-video blake2b "
_SEAL_BYTES = len(_SEAL) + 32
_DAMAGED = (
    zipfile.BadZipFile,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    zlib.error,
    struct.error,
)


class StateFiles(TorchCheckpointIO):
    """Writes `last.ckpt`; the state that it replaces stays as `previous.ckpt`.

    Lightning's own way of writing holds the file in memory as well, and goes through the folder of
    temporary files, which may lie on another, smaller disk.

    Args:
        newest: The state from which the run goes on, known to be good; None = a new run.
    """

    def __init__(self, newest: Path | None) -> None:
        self.newest = newest

    def save_checkpoint(  # pyright: ignore[reportIncompatibleMethodOverride]  # a local file
        self, checkpoint: dict[str, Any], path: Path, storage_options: None = None
    ) -> None:
        """Write a state, and keep the one before; the main process calls this."""
        with whole(path, count_bytes(checkpoint)) as part:
            save_tensors(checkpoint, part)
            seal(part)
            previous = path.with_name(PREVIOUS)
            if self.newest is not None and self.newest.is_file() and self.newest != previous:
                link(self.newest, previous)
        self.newest = path


def count_bytes(content: object) -> int:
    """Return the bytes of all tensors in a nested state."""
    if isinstance(content, Tensor):
        return content.nbytes
    if isinstance(content, Mapping):
        return sum(map(count_bytes, content.values()))
    return sum(map(count_bytes, content)) if isinstance(content, list | tuple) else 0


def link(source: Path, path: Path) -> None:
    """Give a file a second name, which may be another's; a copy where the disk knows no links."""
    with whole(path) as part:
        try:
            os.link(source, part)
        except OSError:
            shutil.copy2(source, part)


def list_states(output_dir: Path) -> list[Path]:
    """Return the training states in a run's folder, the newest first."""
    folder = output_dir / CHECKPOINTS
    latest = [path for path in (folder / LAST, folder / PREVIOUS) if path.is_file()]
    return latest + sorted(folder.glob("epoch_*.ckpt"), key=_epoch, reverse=True)


def _epoch(path: Path) -> tuple[int, str]:
    number = path.stem.removeprefix("epoch_")
    return (int(number) if number.isdecimal() else -1), path.name


def seal(path: Path) -> None:
    """Append a digest of a state's file to it, as the comment of the zip archive that it is.

    The archive's own checksums leave its table of contents out.
    """
    with path.open("r+b") as file:
        file.seek(-2, os.SEEK_END)
        file.write(struct.pack("<H", _SEAL_BYTES))
        file.seek(0)
        digest = _digest(file, path.stat().st_size)
        file.seek(0, os.SEEK_END)
        file.write(_SEAL + digest)


def find_fault(path: Path) -> str | None:
    """Return what is wrong with a state's file; None where its digest is right.

    Files without one are judged by the checksums of the zip archive.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            file.seek(max(size - _SEAL_BYTES, 0))
            end = file.read()
            if end.startswith(_SEAL):
                file.seek(0)
                is_right = _digest(file, size - _SEAL_BYTES) == end.removeprefix(_SEAL)
                return None if is_right else "its content has changed since it was written"
        with zipfile.ZipFile(path) as archive:
            name = archive.testzip()
    except _DAMAGED as error:
        return str(error) or type(error).__name__
    return None if name is None else f"wrong checksum of {name}"


def _digest(file: BinaryIO, num_bytes: int) -> bytes:
    digest = blake2b(digest_size=16)
    while num_bytes > 0:
        chunk = file.read(min(num_bytes, 1 << 20))
        if not chunk:
            break
        digest.update(chunk)
        num_bytes -= len(chunk)
    return digest.hexdigest().encode()
