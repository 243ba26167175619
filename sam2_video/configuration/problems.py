"""What is wrong with a configuration, one line for each fault."""

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 120


@dataclass(frozen=True)
class Entry:
    """A value that somebody gave, and where: a line of a file, a flag, Python."""

    value: Any
    source: str


@dataclass(frozen=True)
class Problem:
    """One fault: the dotted path (or file, or flag), what is wrong, and where it came from."""

    path: str
    message: str
    source: str = ""

    def __str__(self) -> str:
        """Return the one line a user reads."""
        return f"{self.path}: {self.message}" + (f" [{self.source}]" if self.source else "")


class ConfigurationError(ValueError):
    """Every fault of a configuration at once, one line each."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = "1 error" if len(problems) == 1 else f"{len(problems)} errors"
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"{count} in the configuration:\n{lines}")


def shown(value: Any) -> str:  # noqa: ANN401 (any value that a user gave)
    """Return a value as YAML would spell it, cut short.

    >>> shown(None), shown(True), shown("fast")
    ('null', 'true', "'fast'")
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return _SHORT.repr(value)
