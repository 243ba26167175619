"""Read what a run left in its folder, as far as it is there."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam2_video.configuration import ConfigurationError, flatten, load_config
from sam2_video.files import read_numbers

CONFIG, METRICS, SUMMARY, LOG = "config.yaml", "metrics.csv", "training_metrics.json", "train.log"
WHEN = ("zero_shot", "best", "last")
METRIC_NAMES = {"JF": "J&F", "J": "J", "F": "F"}
"""What is scored, the first that is there decides."""
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (\w+) +(.*)")


@dataclass(frozen=True)
class ObjectScore:
    """The scores of one object by metric, and J by the first frame of a class of distances."""

    name: str
    values: dict[str, float]
    by_distance: dict[int, float]


@dataclass(frozen=True)
class VideoScores:
    """The scores of one video by metric; a metric without a value is absent."""

    name: str
    values: dict[str, float]
    objects: tuple[ObjectScore, ...]


@dataclass(frozen=True)
class Scores:
    """The scores of one validation."""

    step: int | None
    values: dict[str, float]
    videos: tuple[VideoScores, ...]


@dataclass(frozen=True)
class RunFolder:
    """What is known of a run; of one that was cut short some may be missing.

    `config` are values by dotted path; `rows` those of metrics.csv; `summary` is empty where the
    run never came to its end.
    """

    path: Path
    config: dict[str, Any]
    rows: tuple[dict[str, float], ...]
    summary: Mapping[str, Any]
    scores: dict[str, Scores]
    warnings: tuple[str, ...]
    pictures: tuple[Path, ...]

    @property
    def metric(self) -> str | None:
        """Return the key of the metric that decides; None where nothing was validated."""
        logged = {key for row in self.rows for key in row}
        return next((key for key in METRIC_NAMES if f"val/{key}" in logged), None)

    def curve(self, column: str) -> list[tuple[float, float]]:
        """Return step and value of a column, where it was logged."""
        return sorted((row["step"], row[column]) for row in self.rows if column in row)

    def better_curve(self, key: str) -> list[tuple[float, float]]:
        """Return step and score of each validation: of the averaged weights where these are better.

        What becomes `best_model.pth` is chosen from these.
        """
        averaged = dict(self.curve(f"val_ema/{key}"))
        return [(step, max(x, averaged.get(step, x))) for step, x in self.curve(f"val/{key}")]


def read_run_folder(path: Path) -> RunFolder:
    """Read a run's folder.

    Raises:
        FileNotFoundError: there is no run.
    """
    if not (path / CONFIG).is_file():
        raise FileNotFoundError(f"report: no run in {path}: it has no {CONFIG}")
    warnings = _read_warnings(path / LOG)
    try:
        config = flatten(load_config(path / CONFIG))
    except ConfigurationError as error:
        config = {}
        warnings.append(f"{CONFIG} is not of this version, and is not shown: {error}")
    summary = path / SUMMARY
    scores = {when: _read_scores(path / f"scores_{when}.json") for when in WHEN}
    return RunFolder(
        path,
        config,
        tuple(read_numbers(path / METRICS)),
        json.loads(summary.read_text(encoding="utf-8")) if summary.is_file() else {},
        {when: found for when, found in scores.items() if found is not None},
        tuple(warnings),
        tuple(sorted((path / "pictures").glob("[!.]*"))),
    )


def _read_scores(path: Path) -> Scores | None:
    if not path.is_file():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    videos = tuple(
        VideoScores(
            str(video["video"]),
            _values(video),
            tuple(
                ObjectScore(
                    str(entry["object"]),
                    _values(entry),
                    {int(k): float(v) for k, v in entry.get("J_by_distance", {}).items()},
                )
                for entry in video["objects"]
            ),
        )
        for video in content["videos"]
    )
    return Scores(content.get("step"), _values(content), videos)


def _values(content: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics that have a value: null is one that could not be measured."""
    return {key: float(content[key]) for key in METRIC_NAMES if content.get(key) is not None}


def _read_warnings(path: Path) -> list[str]:
    """Return the warnings and errors of a log, each once, with all of their lines."""
    if not path.is_file():
        return []
    found: list[str] = []
    is_inside = False
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if match := LOG_LINE.fullmatch(line):
            is_inside = match[1] in ("WARNING", "ERROR", "CRITICAL")
            if is_inside:
                found.append(match[2])
        elif is_inside:
            found[-1] += f"\n{line}"
    return list(dict.fromkeys(found))
