"""The tables of docs/memory.md, made from what was predicted."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
    presets = json.loads((results / "presets.json").read_text())
    tables = {
        "presets": _presets(presets["cards"]),
    }
    for name, table in tables.items():
        page = put_table(page, PAGE, SCRIPT, name, table)
    return page


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
