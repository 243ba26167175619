"""The table of floors of docs/performance.md: what each step would take at least."""

from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.step.rows import META
from benchmarks.step.settings import Row
from benchmarks.tables import Lines, make_table


def make_floor_table(rows: Iterable[Row], steps: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a line for each way of each row that has been measured on a CPU."""
    head = ["", "", "products alone, s", "calls", "GB moved by the others", "floor, s"]
    head += ["step, s", "floor / Meta's step", "step / Meta's step", "reach"]
    lines: Lines = []
    for row in rows:
        result = steps.get(row.name)
        if result is None or META not in result["medians"]:
            continue
        theirs = result["medians"][META]["seconds"]
        hoped = {x.way: f"<= {x.at_most:.2f}" for x in row.reaches if x.measure == "time"}
        for label, found in result["medians"].items():
            floor = result["prepared"][label].get("floor")
            if floor is None:
                continue
            seconds, ratio = found["seconds"], result["ratios"].get(label)
            lines.append(
                [
                    row.title,
                    label,
                    f"{floor['products']:.2f}",
                    f"{floor['calls']:,.0f}",
                    f"{floor['moved_gb']:.1f}",
                    f"{floor['seconds']:.2f}",
                    f"{seconds:.2f}",
                    f"{floor['seconds'] / theirs:.2f}",
                    f"{ratio['time']['median']:.2f}" if ratio else "",
                    hoped.get(label, ""),
                ]
            )
    return make_table(head, lines)
