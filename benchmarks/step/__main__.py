"""`make bench`, `python -m benchmarks.step --rows NAME,...`: measure training steps, row by row."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from benchmarks.performance_page import write_page
from benchmarks.step.compare import RESULTS, find_result, measure_row
from benchmarks.step.rows import all_rows, choose_rows
from benchmarks.step.settings import Row
from benchmarks.step.timeline import PARTS


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what was asked for and is not there yet, print it, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="quick", help="names, globs, families; commas between")
    parser.add_argument("--quick", action="store_true", help="a minute: what `make bench` runs")
    parser.add_argument("--list", action="store_true", help="name all rows, and stop")
    parser.add_argument("--rounds", type=int, help="turns of each way, in place of the row's own")
    parser.add_argument("--again", action="store_true", help="also what has a result")
    parser.add_argument("--page", action="store_true", help="only write docs/performance.md anew")
    options = parser.parse_args(argv)
    if options.list:
        for row in all_rows():
            print(f"{row.name:<44} {'+'.join(row.families)}: {', '.join(row.ways)}")
        return 0
    if not options.page:
        for row in choose_rows(["quick"] if options.quick else options.rows.split(",")):
            _run(row, options.rounds, is_again=options.again)
    write_page()
    return 0


def _run(row: Row, rounds: int | None, *, is_again: bool) -> None:
    if row.problem.device == "cuda" and not torch.cuda.is_available():
        print(f"{row.name}: left out, there is no CUDA device")
        return
    if not is_again and find_result(row) is not None:
        print(f"{row.name}: kept, same code and machine; --again measures it anew")
        return
    _print(measure_row(row, rounds))


def _print(result: Mapping[str, Any]) -> None:
    print(f"{result['row']} -> {RESULTS / result['row']}.json")
    for label, reason in result["failed"].items():
        print(f"  {label:<18} {reason}")
    for label, found in result["medians"].items():
        said = ""
        if label in result["ratios"]:
            ratio = result["ratios"][label]
            said = f": {ratio['time']['median']:.2f} x time, {ratio['peak']['median']:.2f} x peak"
        print(
            f"  {label:<18} {found['seconds']:.2f} s, {found['clips_per_second']:.2f} clips/s, "
            f"{found['peak_gb']:.2f} GB over {found['loaded_gb']:.2f}, {found['tflops']:.3f} "
            f"TFLOP/s = {found['share_of_matmul']:.0%} of the matmul peak{said}"
        )
        spans = (f"{part} {found['parts'].get(part, 0.0):.2f}" for part in PARTS)
        print(f"  {'':<18} {', '.join(spans)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
