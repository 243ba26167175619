"""The tables of docs/memory.md, made from what was measured and predicted."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tables import Lines, make_table, put_table

PAGE = Path(__file__).parents[1] / "docs" / "memory.md"
RESULTS = Path(__file__).with_name("results")
SCRIPT = "benchmarks/memory_page.py"
Row = Mapping[str, Any]


def write_page(page: Path = PAGE, results: Path = RESULTS) -> None:
    """Write the page with its tables made anew."""
    page.write_text(write_tables(page.read_text(), results))


def write_tables(page: str, results: Path = RESULTS) -> str:
    """Return the page with its tables made from a folder of results."""
    measured = json.loads((results / "memory.json").read_text())
    presets = json.loads((results / "presets.json").read_text())
    tables = {
        "peaks": _peaks(measured["rows"]),
        "errors": _errors(measured["rows"]),
        "presets": _presets(presets["cards"]),
    }
    for name, table in tables.items():
        page = put_table(page, PAGE, SCRIPT, name, table)
    return page


def _peaks(rows: Sequence[Row]) -> str:
    head = ["px", "frames", "objects", "activation_checkpointing", "predicted (GB)"]
    head += ["measured (GB)", "measured - predicted"]
    lines: Lines = [
        [
            *(str(row[key]) for key in ("side", "frames", "objects", "checkpointing")),
            *(f"{row[key]:.2f}" for key in ("predicted", "measured")),
            f"{row['measured'] - row['predicted']:+.2f}",
        ]
        for row in rows
    ]
    return make_table(head, lines)


def _errors(rows: Sequence[Row]) -> str:
    """Return the straight line through the peaks of each way to train, and what it leaves."""
    head = ["activation_checkpointing", "measured = ", "farthest from it (GB)"]
    head.append("measured / predicted")
    lines: Lines = []
    for mode in dict.fromkeys(row["checkpointing"] for row in rows):
        of_mode = [row for row in rows if row["checkpointing"] == mode]
        predicted, measured = (
            np.array([row[key] for row in of_mode]) for key in ("predicted", "measured")
        )
        slope, constant = np.polyfit(predicted, measured, 1)
        left = np.abs(measured - slope * predicted - constant).max()
        ratios = measured / predicted
        line = f"{slope:.2f} x predicted {constant:+.2f} GB"
        lines.append([mode, line, f"{left:.2f}", f"{ratios.min():.2f} to {ratios.max():.2f}"])
    return make_table(head, lines)


def _presets(cards: Mapping[str, Row]) -> str:
    head = ["preset", "network", "what learns", "activation_checkpointing"]
    head += ["clips x frames x objects", "needs (GB)", "of the card"]
    lines: Lines = [
        [
            f"[gpu-{card}gb](../configs/gpu-{card}gb.yaml)",
            row["network"],
            ", ".join(row["learns"]),
            row["checkpointing"],
            f"{row['clips']} x {row['frames']} x {row['objects']}",
            f"{row['total'] / 1e9:.1f}",
            f"{row['total'] / 1e9 / int(card):.0%}",
        ]
        for card, row in cards.items()
    ]
    return make_table(head, lines)
