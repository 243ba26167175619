"""A Lightning logger that keeps `metrics.csv`: one row a step, every metric a column."""

import argparse
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from sam2_video.training.folder import read_rows, write_rows


class MetricsCsv(Logger):
    """Keeps all metrics of a run in one table, also over a resume (Lightning's CSV restarts it).

    Rows after `first_step` of a file that is there are dropped: a resumed run makes them again.
    """

    def __init__(self, path: Path, first_step: int | None = None) -> None:
        super().__init__()
        self.path = path
        self._rows: dict[int, dict[str, float]] = {}
        if first_step is not None:
            self._rows = {
                int(row["step"]): row for row in read_rows(path) if row["step"] < first_step
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
        """Add metrics to the row of a step."""
        row = self._rows.setdefault(step or 0, {"step": step or 0})
        row |= {name: float(value) for name, value in metrics.items()}

    @rank_zero_only
    def save(self) -> None:
        """Write the table."""
        if self._rows:
            write_rows(self.path, self.rows)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write the table at the end."""
        self.save()
