"""Sequences of names, paths, numbers and records that are held in arrays, not in Python objects.

A Python string or path costs some 60 to 500 bytes, and a forked process copies the page of each
that it only looks at, for looking counts references. Held in arrays, names cost their length and
four bytes, and stay shared.
"""

import os
import pickle
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, overload

import numpy as np


class _Packed:
    """Equality with any sequence of the same items, as tuples have it among each other."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if not isinstance(self, Sequence) or not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(_are_equal, self, other))

    def __hash__(self) -> int:
        assert isinstance(self, Sequence)
        return hash(tuple(self))


def _are_equal(one: object, other: object) -> bool:
    return one == other


class Names(_Packed, Sequence[str]):
    """Texts, one after another in one buffer."""

    __slots__ = ("_ends", "_text")

    def __init__(self, names: Iterable[str]) -> None:
        # names of files may hold bytes that are no text
        encoded = [os.fsencode(name) for name in names]
        self._text = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        self._ends = np.cumsum([0, *map(len, encoded)], dtype=np.uint32)

    def __repr__(self) -> str:
        return f"Names({list(self)!r})"

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        """Return the name at a place, or those of a slice."""
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        place = range(len(self))[index]
        return os.fsdecode(self._text[self._ends[place] : self._ends[place + 1]].tobytes())

    def __iter__(self) -> Iterator[str]:
        """Yield all names, which is cheaper than asking for each."""
        text, ends = self._text.tobytes(), self._ends.tolist()
        return (os.fsdecode(text[start:end]) for start, end in pairwise(ends))

    def is_empty(self, index: int) -> bool:
        """Say whether the name at a place has no letters."""
        return bool(self._ends[index] == self._ends[index + 1])


class FilePaths(_Packed, Sequence[Path]):
    """Paths of files: their common folder once, and what follows of each.

    A place may have no file; it is asked for with `has` before its path.
    """

    __slots__ = ("_folder", "_names")

    def __init__(self, paths: Sequence[Path | None]) -> None:
        texts = ["" if path is None else str(path) for path in paths]
        parents = {os.path.dirname(text) for text in texts if text}  # noqa: PTH120 (100,000 times)
        self._folder = parents.pop() if len(parents) == 1 else _common_folder(parents)
        start = len(os.path.join(self._folder, ""))  # noqa: PTH118 (the letters, not a path)
        self._names = Names(text[start:] for text in texts)

    def __repr__(self) -> str:
        return f"FilePaths({len(self)} in {self._folder!r})"

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Path]: ...
    def __getitem__(self, index: int | slice) -> Path | Sequence[Path]:
        """Return the path at a place, or those of a slice."""
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        name = self._names[index]
        assert name, f"place {index} has no file"
        return Path(self._folder, name)

    def has(self, index: int) -> bool:
        """Say whether a place has a file."""
        return not self._names.is_empty(index)

    def present(self) -> Iterator[str]:
        """Yield the path of each file as text, which is cheap."""
        before = os.path.join(self._folder, "")  # noqa: PTH118 (100,000 times)
        return (before + name for name in self._names if name)


def _common_folder(parents: set[str]) -> str:
    return os.path.commonpath(parents) if parents else ""


class Numbers(_Packed, Sequence[int]):
    """Whole numbers of 32 bits."""

    __slots__ = ("_values",)

    def __init__(self, values: Iterable[int]) -> None:
        self._values = np.fromiter(values, dtype=np.int32)

    def __repr__(self) -> str:
        return f"Numbers({list(self)!r})"

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[int]:
        return iter(self._values.tolist())

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[int]: ...
    def __getitem__(self, index: int | slice) -> int | Sequence[int]:
        """Return the number at a place, or those of a slice."""
        found = self._values[index]
        return tuple(found.tolist()) if isinstance(index, slice) else int(found)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:  # noqa: ANN401
        """Return the numbers as an array."""
        return np.array(self._values, dtype=dtype, copy=True if copy is None else copy)


class Records(Sequence[Any]):
    """Values of any kind, one after another in one buffer, each made anew when it is asked for."""

    __slots__ = ("_content", "_ends")

    def __init__(self, values: Iterable[Any]) -> None:
        pickled = [pickle.dumps(value, protocol=5) for value in values]
        self._content = np.frombuffer(b"".join(pickled), dtype=np.uint8)
        self._ends = np.cumsum([0, *map(len, pickled)], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> Any: ...  # noqa: ANN401
    @overload
    def __getitem__(self, index: slice) -> Sequence[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        """Return the value at a place, or those of a slice."""
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        place = range(len(self))[index]
        # of this process' own making
        return pickle.loads(self._content[self._ends[place] : self._ends[place + 1]].data)
