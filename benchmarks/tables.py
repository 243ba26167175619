"""Tables in Markdown, each at its place in a page, between two lines that name it."""

from collections.abc import Sequence
from pathlib import Path

Lines = list[list[str]]


def make_table(head: Sequence[str], lines: Lines) -> str:
    """Return a table, a line a list of cells."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in rows)


def put_table(page: str, path: Path, script: str, name: str, table: str) -> str:
    """Return a page with one of its tables in place of what was there.

    Raises:
        ValueError: the page, which lies at `path`, has no place of this name.
    """
    begin, end = f"<!-- {name}: {script} -->", f"<!-- end of {name} -->"
    head, found, rest = page.partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{path}: expected the lines {begin!r} and {end!r}")
    return f"{head}{begin}\n{table}\n{end}{tail}"
