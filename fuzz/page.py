"""`python -m fuzz.page`: make the table of docs/reliability.md from the runs of targets."""

import json
from pathlib import Path

from fuzz.run import HERE, TARGETS

PAGE = HERE.parent / "docs" / "reliability.md"
RESULTS = HERE.parent / "benchmarks" / "results" / "fuzz.json"
BEGIN, END = "<!-- targets: fuzz/page.py -->", "<!-- end of targets -->"


def write_table(page: str, results: Path = RESULTS) -> str:
    """Return the page with its table made from a file of results, a row a target."""
    known = json.loads(results.read_text())
    lines = ["| target | runs | seconds | inputs kept | faults |", "|---|---|---|---|---|"]
    for name in TARGETS:
        seen = known.get(name)
        if seen is None:
            lines.append(f"| `{name}` | not run | | | |")
            continue
        # a target that libFuzzer ended, such as at an input that takes too long, left no counts
        runs = "broken off" if seen["runs"] is None else f"{seen['runs']:,}"
        faults = ", ".join(f"`{fault}`" for fault in seen["faults"]) or "0"
        lines.append(f"| `{name}` | {runs} | {seen['seconds']} | {seen['kept']} | {faults} |")
    head, begun, rest = page.partition(BEGIN)
    _, ended, tail = rest.partition(END)
    if not begun or not ended:
        raise ValueError(f"{PAGE}: expected the lines {BEGIN!r} and {END!r}")
    return "\n".join([head + BEGIN, *lines, END + tail])


if __name__ == "__main__":
    PAGE.write_text(write_table(PAGE.read_text()))
