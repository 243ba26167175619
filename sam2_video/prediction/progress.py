"""Bars of progress on a terminal; silent where the output is a file."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)


class Bars:
    """Bars on stderr, one below the other. Use as a context."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description:<9}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    @contextmanager
    def show(self, name: str, total: int | None) -> Iterator[Callable[[], None]]:
        """Add a bar of frames; calling what it gives moves it on by one."""
        task = self._progress.add_task(name, total=total, speed="")

        def advance() -> None:
            self._progress.advance(task)
            speed = self._progress.tasks[task].speed
            if speed is not None:
                self._progress.update(task, speed=f"{speed:.1f} frames/s")

        yield advance
        self._progress.update(task, total=self._progress.tasks[task].completed)
