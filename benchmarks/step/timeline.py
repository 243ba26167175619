"""Which part of a step takes how much: parts that begin and end, within each other too."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any
from unittest.mock import patch

import torch

OTHER = "other"
BACKWARD = "backward"
OPTIMISER = "optimiser"
DATA = "data"
FORWARD = ("encoder", "memory attention", "decoder", "memory encoder", "losses", OTHER)
"""Parts of the forward pass; the last is what is in none of them."""
PARTS = (*FORWARD, BACKWARD, OPTIMISER, DATA)
"""Those, and the rest of the step, each as a whole."""
Place = tuple[Any, str, str]
"""A function, by its owner and name, and the part that it is."""


class Timeline:
    """Marks where parts change; what lies between two marks belongs to the innermost part.

    What backward computes again belongs to backward.

    Args:
        mark: Says how far things are.
        between: Returns how much lies between two marks.
    """

    def __init__(
        self,
        mark: Callable[[], Any] = time.perf_counter,
        between: Callable[[Any, Any], float] = lambda first, second: second - first,
    ) -> None:
        self._mark = mark
        self._between = between
        self._open: list[str] = []
        self._marks: list[tuple[str | None, Any]] = []

    def start(self) -> None:
        """Forget what was."""
        self._marks = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Let what happens within belong to a part."""
        if BACKWARD in self._open:
            yield
            return
        self._open.append(name)
        self._note()
        try:
            yield
        finally:
            self._open.pop()
            self._note()

    def totals(self) -> dict[str, float]:
        """Return how much each part has taken since the start."""
        found: dict[str, float] = defaultdict(float)
        for (name, first), (_, second) in zip(self._marks, self._marks[1:], strict=False):
            if name is not None:
                found[name] += self._between(first, second)
        return dict(found)

    def _note(self) -> None:
        self._marks.append((self._open[-1] if self._open else None, self._mark()))


def timeline_on(device: torch.device) -> Timeline:
    """Return a timeline of seconds: on a GPU by its own events, for which nothing waits."""
    if device.type != "cuda":
        return Timeline()

    def mark() -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    return Timeline(mark, lambda first, second: first.elapsed_time(second) / 1000)


def watch(timeline: Timeline, places: Sequence[Place]) -> ExitStack:
    """Let functions be parts of a timeline, until what is returned is closed.

    Raises:
        AttributeError: there is no such function: the code has changed, and so must the places.
    """
    stack = ExitStack()
    for owner, attribute, part in places:
        wrapped = _within(timeline, part, getattr(owner, attribute))
        stack.enter_context(patch.object(owner, attribute, wrapped))
    return stack


def _within(timeline: Timeline, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 (whatever is wrapped)
        with timeline.part(part):
            return function(*arguments, **named)

    return call
