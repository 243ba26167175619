"""`python -m benchmarks.fuzz_page`: make the table of docs/reliability.md from the fuzzer's runs.

It stands apart from the fuzzer, whose package wants atheris and instruments what is imported.
"""

import json
from pathlib import Path

from benchmarks.machine import ROOT

PAGE = ROOT / "docs" / "reliability.md"
RESULTS = ROOT / "benchmarks" / "results" / "fuzz.json"
TARGETS = sorted(path.stem.removeprefix("fuzz_") for path in (ROOT / "fuzz").glob("fuzz_*.py"))
BEGIN, END = "<!-- targets: benchmarks/fuzz_page.py -->", "<!-- end of targets -->"


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
