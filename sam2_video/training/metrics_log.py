"""A Lightning logger that keeps `metrics.csv`: one row a step, every metric a column."""

import argparse
import math
import time
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from sam2_video.files import read_numbers, write_rows

MAX_SHARE_OF_TIME = 0.01
LEAST_SECONDS = 5.0
COUNTS = ("step", "epoch")


def _is_validation(name: str) -> bool:
    return name.startswith(("val/", "val_ema/"))


class MetricsCsv(Logger):
    """Keeps all metrics of a run in one table, also over a resume (Lightning's CSV restarts it).

    The row of a step holds what was measured with the weights that have taken so many steps: the
    validation of these weights, and the losses of the step that follows. Of a file that is there,
    a run that is resumed at `first_step` keeps what it does not measure again.
    """

    def __init__(self, path: Path, first_step: int | None = None) -> None:
        super().__init__()
        self.path = path
        self._rows: dict[int, dict[str, float]] = {}
        self._written = -math.inf
        self._pause = LEAST_SECONDS
        self._is_closed = False
        if first_step is not None:
            for row in read_numbers(path):
                if not math.isfinite(row.get("step", math.nan)):
                    raise ValueError(f"{path}: a row has no `step`; remove it, or the file")
                if row["step"] < first_step:
                    self._rows[int(row["step"])] = row
                elif row["step"] == first_step and any(map(_is_validation, row)):
                    self._rows[first_step] = {
                        name: value
                        for name, value in row.items()
                        if name in ("step", "epoch") or _is_validation(name)
                    }

    @property
    def name(self) -> str:
        """Return the table's name."""
        return self.path.stem

    @property
    def version(self) -> str:
        """Return nothing: a run has one table."""
        return ""

    @property
    def rows(self) -> list[dict[str, float]]:
        """Return all rows by rising step."""
        return [self._rows[step] for step in sorted(self._rows)]

    @rank_zero_only
    def log_hyperparams(
        self,
        params: dict[str, Any] | argparse.Namespace,
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """Do nothing: `config.yaml` has them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add metrics to the row of a step, and write the table now and then.

        A metric that is not a number had nothing to measure, and is left empty.
        """
        assert step is not None
        row = self._rows.setdefault(step, {"step": float(step)})
        row |= {name: float(value) for name, value in metrics.items() if not math.isnan(value)}
        if time.monotonic() - self._written > self._pause:
            self.save_table()

    @rank_zero_only
    def save_table(self) -> None:
        """Write the table, whole, which takes the longer the longer the run."""
        if self._rows and not self._is_closed:
            start = time.monotonic()
            rows = [
                row | {name: int(row[name]) for name in COUNTS if name in row} for row in self.rows
            ]
            names = {name for row in rows for name in row}
            write_rows(self.path, rows, [*COUNTS, *sorted(names.difference(COUNTS))])
            self._written = time.monotonic()
            self._pause = max(LEAST_SECONDS, (self._written - start) / MAX_SHARE_OF_TIME)

    def close(self) -> None:
        """Write no more, whatever is still logged: the folder is gone."""
        self._is_closed = True

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write the table at the end."""
        self.save_table()
