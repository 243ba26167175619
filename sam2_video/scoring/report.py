"""What scoring says: overall, by video and by object, as JSON, CSV and a text table."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam2_video import files
from sam2_video.metrics import ObjectSummary, Scores, mean_scores

_COLUMNS = {
    "J&F": "jf",
    "J": "j",
    "F": "f",
    "J-recall": "j_recall",
    "J-decay": "j_decay",
    "F-recall": "f_recall",
    "F-decay": "f_decay",
    "mIoU": "mean_iou",
    "Dice": "dice",
    "returned": "returned_jf",
}
"""Columns of the text table; `returned` is J&F where objects are visible again."""


@dataclass(frozen=True)
class VideoScores:
    """The scores of one video's objects."""

    video: str
    objects: tuple[ObjectSummary, ...]

    @property
    def scores(self) -> Scores:
        """Return the means over the video's objects."""
        return mean_scores(self.objects)


@dataclass(frozen=True)
class LeftOut:
    """A video that could not be scored, and why, in a line."""

    video: str
    reason: str


@dataclass(frozen=True)
class ScoreReport:
    """Scores of a folder of predictions.

    `left_out` lists videos without scores, `notes` what was scored otherwise than it lies there.
    """

    protocol: str
    first_and_last_count: bool
    truth: str
    predictions: str
    overall: Scores
    videos: tuple[VideoScores, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the content of the JSON file; see docs/metrics.md."""
        return {
            "protocol": self.protocol,
            "first_and_last_count": self.first_and_last_count,
            "truth": self.truth,
            "predictions": self.predictions,
            "overall": self.overall.as_dict(),
            "videos": {
                video.video: {
                    "scores": video.scores.as_dict(),
                    "objects": {
                        str(item.object_id): mean_scores([item]).as_dict() for item in video.objects
                    },
                }
                for video in self.videos
            },
            "left_out": [vars(item) for item in self.left_out],
            "notes": list(self.notes),
        }


def rows_of(report: ScoreReport) -> Iterator[tuple[str, str, Scores]]:
    """Yield (video, object, scores): all videos, then each video and its objects."""
    yield "", "", report.overall
    for video in report.videos:
        yield video.video, "", video.scores
        for item in video.objects:
            yield video.video, str(item.object_id), mean_scores([item])


def write_json(report: ScoreReport, path: Path) -> None:
    """Write a report as JSON."""
    files.write_json(path, report.as_dict())


def write_csv(report: ScoreReport, path: Path) -> None:
    """Write a report as CSV; a row without object is a video, one without video the whole."""
    rows = [
        {"video": video, "object": item} | scores.as_dict()
        for video, item, scores in rows_of(report)
    ]
    files.write_rows(path, rows, list(rows[0]))


def table(report: ScoreReport) -> str:
    """Return a report as a text table, in percent as papers give it, objects below their video."""
    lines = [
        (
            video or "all videos",
            item,
            *(_percent(getattr(scores, name)) for name in _COLUMNS.values()),
        )
        for video, item, scores in rows_of(report)
    ]
    head = ("video", "object", *_COLUMNS)
    widths = [max(len(line[column]) for line in (head, *lines)) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if column < 2 else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in (head, *lines)
    )


def _percent(value: float) -> str:
    return "-" if value != value else f"{100 * value:.1f}"
