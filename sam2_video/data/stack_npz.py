"""Read NPZ files: `imgs` and `gts` of one video; uncompressed ones are mapped, not loaded."""

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Num
from numpy.lib import format as npy_format

from sam2_video.data.stack import Stack, check_bytes, keep

IMAGE_KEYS = ("imgs", "images", "image", "img", "frames")
LABEL_KEYS = ("gts", "masks", "labels", "label", "mask", "gt")
_SUFFIX = ".npy"
_DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    RuntimeError,
    SyntaxError,
    OverflowError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    tokenize.TokenError,
)


class NpzStack(Stack):
    """One array of an NPZ file. Pickled objects beside it are never read."""

    def __init__(self, path: Path, key: str) -> None:
        """Read the head of the array.

        Raises:
            ValueError: the file is damaged, or the array no stack of numbers.
        """
        self.key = key
        try:
            with zipfile.ZipFile(path) as archive, archive.open(key + _SUFFIX) as file:
                shape, self._is_fortran, dtype = _read_head(file)
        except _DAMAGED as error:
            raise _damaged(path, error) from error
        super().__init__(path, shape, dtype)
        self._shape = tuple(shape)

    def read(self, index: int) -> Num[np.ndarray, "height width *colours"]:
        """Read a slice: of the array's first axis."""
        return keep((self.path, self.key), self._load)[index]

    def _load(self) -> np.ndarray:
        num_bytes = self.dtype.itemsize * int(np.prod(self._shape, dtype=object))
        try:
            with zipfile.ZipFile(self.path) as archive:
                info = archive.getinfo(self.key + _SUFFIX)
                if info.compress_type == zipfile.ZIP_STORED:
                    return self._map(info)
                check_bytes(self.path, num_bytes, "save it by numpy.savez, uncompressed")
                with archive.open(info) as file:
                    return npy_format.read_array(file, allow_pickle=False)
        except _DAMAGED as error:
            if str(self.path) in str(error):
                raise
            raise _damaged(self.path, error) from error

    def _map(self, info: zipfile.ZipInfo) -> np.ndarray:
        with self.path.open("rb") as file:
            # the lengths of a name and of what follows it are bytes 26 to 29 of an entry's head
            file.seek(info.header_offset + 26)
            lengths = np.frombuffer(file.read(4), dtype="<u2").sum()
            file.seek(info.header_offset + 30 + int(lengths))
            _read_head(file)
            start = file.tell()
        order = "F" if self._is_fortran else "C"
        return np.memmap(self.path, self.dtype, "r", start, self._shape, order)


def _read_head(file) -> tuple[Sequence[int], bool, np.dtype]:  # noqa: ANN001 (any open file)
    version = npy_format.read_magic(file)
    read = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}
    if version not in read:
        raise ValueError(f"an array of version {version}")
    return read[version](file)


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path}: cannot be read as NPZ ({error}); write or copy the file again")


def open_npz_arrays(path: Path) -> tuple[NpzStack, NpzStack]:
    """Return the images and the labels of a file.

    Raises:
        ValueError: it is damaged, or has not both.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(_SUFFIX) for name in archive.namelist()]
    except _DAMAGED as error:
        raise _damaged(path, error) from error
    images = next((key for key in IMAGE_KEYS if key in names), None)
    labels = next((key for key in LABEL_KEYS if key in names), None)
    if images is None or labels is None:
        raise ValueError(
            f"{path}: holds the arrays {', '.join(sorted(names)[:6]) or 'none'}; expected images "
            f"({', '.join(IMAGE_KEYS)}) and labels ({', '.join(LABEL_KEYS)}): rename them, or add "
            "the labels"
        )
    return NpzStack(path, images), NpzStack(path, labels)
