"""Which process encodes which video: locks that end with the process that holds them."""

import errno
import os
import sys
import zlib
from pathlib import Path
from types import TracebackType

if sys.platform != "win32":
    import fcntl

LOCKS = "locks"


class Claims:
    """Locks on names, shared by all processes that have the same folder open.

    Each is one byte of one file, which the system frees when a process ends, however it ends. On
    Windows every claim succeeds: one process at a time should fill a cache there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / LOCKS
        self._file = self._path.open("ab")

    def __enter__(self) -> "Claims":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def take(self, name: str, *, is_waiting: bool) -> bool:
        """Claim a name; return whether no other process has it, or wait until none has.

        Raises:
            OSError: the folder is gone; made anew, it would lie elsewhere.
        """
        if not os.path.samestat(self._path.stat(), os.fstat(self._file.fileno())):
            raise FileNotFoundError(errno.ENOENT, "another folder is in its place", str(self._path))
        if sys.platform != "win32":
            how = fcntl.LOCK_EX | (0 if is_waiting else fcntl.LOCK_NB)
            try:
                fcntl.lockf(self._file, how, 1, zlib.crc32(name.encode()))
            except (BlockingIOError, PermissionError):
                return False
        return True

    def give_back(self, name: str) -> None:
        """Let other processes claim a name."""
        if sys.platform != "win32":
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, zlib.crc32(name.encode()))
