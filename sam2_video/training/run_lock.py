"""A lock on a run's folder: one process writes there, and notices when the folder is gone."""

import os
import platform
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from sam2_video.structures import ClipBatch
from sam2_video.training.metrics_log import MetricsCsv

if sys.platform != "win32":
    import fcntl

LOCK = ".lock"


class FolderGoneError(ValueError):
    """The folder that a run writes to was deleted, or its disk is no longer there."""


class RunLock:
    """Holds the folder of a run from `take` to the end of the process, however it ends.

    A lock of the system's on a file, which loading processes do not inherit. Where a file system
    knows none, and on Windows, it is not held; that the folder is gone is noticed all the same.
    """

    def __init__(self, output_dir: Path) -> None:
        self.path = output_dir / LOCK
        self._number: int | None = None

    def __enter__(self) -> "RunLock":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._number is not None:
            if self._is_there():
                self.path.unlink()
            os.close(self._number)
            self._number = None

    def take(self) -> None:
        """Hold the folder, which is made.

        Raises:
            ValueError: another process holds it; says which.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while self._number is None:
            number = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            self._lock(number)
            self._number = number
            if not self._is_there():  # its holder has ended, and removed it, between the two lines
                os.close(number)
                self._number = None
        os.ftruncate(self._number, 0)
        os.pwrite(self._number, f"process {os.getpid()} on {platform.node()}".encode(), 0)

    def _lock(self, number: int) -> None:
        if sys.platform == "win32":
            return
        try:
            fcntl.lockf(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            holder = os.pread(number, 200, 0).decode(errors="replace") or "another process"
            os.close(number)
            raise ValueError(
                f"output_dir: {holder} is training in {self.path.parent}; wait for its end, or "
                "give another --output-dir"
            ) from error
        except OSError:  # a file system without locks
            return

    def check(self) -> None:
        """Notice that the folder is gone; nothing may be written then: it would lie elsewhere.

        Raises:
            FolderGoneError: it is.
        """
        if self._number is not None and not self._is_there():
            raise FolderGoneError(
                f"output_dir: {self.path.parent} is gone: deleted or moved, or its disk is no "
                "longer mounted. Nothing more is written. Bring it back and go on with --resume "
                f"{self.path.parent}, or start again"
            )

    def _is_there(self) -> bool:
        assert self._number is not None
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._number))
        except OSError:
            return False


class FolderGuard(Callback):
    """Ends a run whose folder is gone, before anything is written; it comes before all that does.

    Args:
        lock: of the folder; without effect in processes that have not taken it.
        table: the run's `metrics.csv`, which is written at every end but this.
    """

    def __init__(self, lock: RunLock, table: MetricsCsv) -> None:
        self._lock = lock
        self._table = table

    def _check(self) -> None:
        try:
            self._lock.check()
        except FolderGoneError:
            self._table.close()
            raise

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401
        batch: ClipBatch,
        batch_idx: int,
    ) -> None:
        """Look after each batch."""
        self._check()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look before a validation."""
        self._check()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look before the best weights are written."""
        self._check()
