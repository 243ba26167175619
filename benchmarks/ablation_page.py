"""The table of the ablation in docs/results.md, made from what `benchmarks.ablation` measured."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, variance
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "results.md"
BEGIN = "<!-- table: python -m benchmarks.ablation -->"
END = "<!-- end of table -->"
TITLES = {
    "zero-shot": "nothing learns",
    "memory-only": "**memory-only**: attention and encoder (the base)",
    "decoder-only": "mask decoder only",
    "memory+decoder": "all around memory, and mask decoder",
    "lora": "adapters of rank 8 in attention and encoder, rate 2e-3",
    "full": "everything, rate 3e-4",
    "prompt mix": "memory and decoder; mask .5, box .25, point .25",
    "prompt mix, corrections": "the same, 7 clicks on up to 2 frames",
    "temporal loss 1": "memory-only, temporal loss of weight 1",
    "temporal loss 10": "memory-only, temporal loss of weight 10",
    "truncation 1": "memory-only, gradient cut after 1 frame",
    "truncation 2": "memory-only, gradient cut after 2 frames",
    "memory-only again": "memory-only, then as long again",
    "then decoder-only": "memory-only, then the decoder only",
}
"""The variants in words, in the table's order."""
Row = Mapping[str, Any]


def write_section(page: str, result: Mapping[str, Any]) -> str:
    """Return the page with its table made anew.

    Raises:
        ValueError: the page has no place for it.
    """
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE}: expected the lines {BEGIN!r} and {END!r}")
    rows = list(result["rows"].values())
    return f"{head}{BEGIN}\n{_table(rows)}\n\n{_noise(rows)}\n{END}{tail}"


def run_deviation(rows: Sequence[Row], score: str) -> float:
    """Return the standard deviation of one run's J, pooled over variants; NaN without any pair."""
    groups = [[row["j"][score] for row in group] for group in _by_variant(rows).values()]
    freedom = sum(len(values) - 1 for values in groups)
    if not freedom:
        return math.nan
    squares = sum(variance(values) * (len(values) - 1) for values in groups if len(values) > 1)
    return math.sqrt(squares / freedom)


def _by_variant(rows: Sequence[Row]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["variant"]].append(row)
    return {name: groups[name] for name in TITLES if name in groups}


def _table(rows: Sequence[Row]) -> str:
    scores = list(rows[0]["j"])
    head = ["what learns, and what is changed", "learns", *scores, "CPU s", "peak GB"]
    lines = [head, ["---"] * len(head)]
    for name, group in _by_variant(rows).items():
        cells = [_spread([row["j"][score] for row in group]) for score in scores]
        lines.append([TITLES[name], _learned(group), *cells, *_costs(group)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _spread(values: Sequence[float]) -> str:
    """Return the mean, and how far the seeds lie from it."""
    text = f"{mean(values):.3f}"
    if len(values) == 1:
        return text
    return f"{text} ± {(max(values) - min(values)) / 2:.3f}"


def _learned(group: Sequence[Row]) -> str:
    number = group[0].get("trainable_parameters", 0)
    return f"{number / 1000:.0f}k" if number else "0"


def _costs(group: Sequence[Row]) -> list[str]:
    if "cpu_seconds" not in group[0]:
        return ["", ""]
    seconds = mean(row["cpu_seconds"] for row in group)
    return [f"{seconds:.0f}", f"{mean(row['peak_memory_gb'] for row in group):.2f}"]


def _noise(rows: Sequence[Row]) -> str:
    found = ", ".join(f"{score} {run_deviation(rows, score):.3f}" for score in rows[0]["j"])
    single = [TITLES[name] for name, group in _by_variant(rows).items() if len(group) == 1]
    return (
        "Mean of the seeds ± half their distance, where there are two. Standard deviation of a "
        f"single run, pooled over the variants: {found}. Of one seed only: {'; '.join(single)}."
    )
