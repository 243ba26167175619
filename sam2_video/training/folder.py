"""The folder of a run: who may write there, and the files that are written whole or not at all."""

import csv
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CONFIG, METRICS_CSV, SUMMARY = "config.yaml", "metrics.csv", "training_metrics.json"
BEST, CHECKPOINTS, LAST = "best_model.pth", "checkpoints", "last.ckpt"


def is_main_process() -> bool:
    """Say whether this process is the one that writes (rank 0 of all machines)."""
    ranks = (os.environ.get(name, "0") for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))
    return all(rank == "0" for rank in ranks)


def claim(output_dir: Path) -> None:
    """Make the folder of a new run.

    Raises:
        ValueError: it already holds a run, or is a file.
    """
    if output_dir.is_file():
        raise ValueError(f"output_dir: {output_dir} is a file; give another --output-dir")
    holds_run = (output_dir / CONFIG).exists() or (output_dir / CHECKPOINTS).exists()
    if holds_run:
        raise ValueError(
            f"output_dir: {output_dir} already holds a run; continue it with --resume "
            f"{output_dir}, or give another --output-dir"
        )
    (output_dir / CHECKPOINTS).mkdir(parents=True)


def find_resume(resume: str) -> tuple[Path, Path]:
    """Return (checkpoint, run folder) of `--resume`: a `.ckpt`, or the folder of a run.

    Raises:
        FileNotFoundError: there is no checkpoint.
    """
    path = Path(resume)
    checkpoint = path / CHECKPOINTS / LAST if path.is_dir() else path
    if not checkpoint.is_file():
        raise FileNotFoundError(
            f"resume: no checkpoint at {checkpoint}; expected a .ckpt of a run, or its folder"
        )
    folder = checkpoint.parent
    return checkpoint, folder.parent if folder.name == CHECKPOINTS else folder


def write_whole(path: Path, text: str) -> None:
    """Write a text file through a temporary name."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON, whole or not at all."""
    write_whole(path, json.dumps(content, indent=2) + "\n")


def write_rows(path: Path, rows: list[dict[str, float]]) -> None:
    """Write rows of metrics as CSV; a metric that a row lacks is left empty."""
    names = ["step", "epoch"]
    names += sorted({name for row in rows for name in row} - set(names))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, buffer.getvalue())


def read_rows(path: Path) -> list[dict[str, float]]:
    """Read what `write_rows` wrote; no file has no rows."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {name: float(value) for name, value in row.items() if value}
            for row in csv.DictReader(file)
        ]
