"""What the verbs share: flags declared by a frozen dataclass, and errors told in a line."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TypeVar

import tyro

from sam2_video.configuration import nearest

USER_ERROR = 1
USAGE_ERROR = 2
# What a shell reports of a program that Ctrl-C ended.
INTERRUPTED = 130

Flags = TypeVar("Flags")


def parse(argv: Sequence[str], program: str, cls: type[Flags], summary: str) -> Flags:
    """Read a verb's flags into its frozen dataclass; tyro prints the help and what is wrong.

    A field is a flag, its docstring the help; `tyro.conf.Positional[T]` needs no dashes.

    Raises:
        SystemExit: with 0 after the help, with 2 after wrong usage.
    """
    known = {"help": "--help"}
    # fields of any dataclass: pyright knows only that it is a type
    known |= {field.name: "--" + field.name.replace("_", "-") for field in fields(cls)}  # pyright: ignore[reportArgumentType]
    # tyro says nothing of the nearest name where a required flag is missing: the mistyped one
    unknown = [
        _no_such_flag(name, known)
        for name in (text.partition("=")[0] for text in argv if text.startswith("--"))
        if name != "--" and name.strip("-").replace("-", "_") not in known
    ]
    if unknown:
        help_hint = f"{program} --help lists every flag"
        print("\n".join([*(f"{program}: {line}" for line in unknown), help_hint]), file=sys.stderr)
        raise SystemExit(USAGE_ERROR)
    return tyro.cli(
        cls,
        prog=program,
        description=summary,
        args=list(argv),
        config=(tyro.conf.FlagCreatePairsOff,),
    )


def _no_such_flag(name: str, known: dict[str, str]) -> str:
    close = nearest(name.strip("-").replace("-", "_"), known)
    return f"no such flag {name}" + (f"; perhaps you meant {known[close]}" if close else "")


def report_errors(act: Callable[[], object], *, is_debug: bool) -> int:
    """Act, and return the exit code; what a user can mend is told in a line, not a traceback."""
    try:
        act()
    except (ValueError, OSError) as error:
        if is_debug:
            raise
        print(f"error: {error} (--debug shows where)", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0
