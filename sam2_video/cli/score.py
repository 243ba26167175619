"""The verb `score`: two folders of masks in, a table of scores out, no model."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sam2_video.cli.verbs import USER_ERROR, parse, report_errors

_ALL_SCORED = 0


@dataclass(frozen=True)
class ScoreFlags:
    """Flags of `score`."""

    truth: str
    """folder of true masks: VIDEO/*.png (value = object) or VIDEO/OBJECT/*.png; any level of a
    DAVIS tree of annotations"""
    predictions: str
    """folder of predicted masks: either layout, the same names of videos, frames and objects"""
    protocol: Literal["vos", "sav", "davis", "davis-unsupervised"] = "vos"
    """whose numbers to equal: vos-benchmark, Meta's sav_evaluator, or davis2017-evaluation"""
    json: str | None = None
    """write all scores to this JSON file"""
    csv: str | None = None
    """write all scores to this CSV file"""
    count_first_and_last: bool = False
    """count the first and the last annotated frame too"""
    missing: Literal["refuse", "empty", "skip"] = "refuse"
    """what missing predictions mean: the video is left out (exit code 1), they count as empty
    masks, or videos without any are passed over"""
    num_processes: int = 1
    """how many processes read and compare masks"""
    debug: bool = False
    """show where an error came from"""


def run_score(argv: Sequence[str], program: str = "sam2-video score") -> int:
    """Score predictions as the command line says; return 1 where a video was left out, else 0."""
    flags = parse(argv, program, ScoreFlags, "Score predicted masks against true ones.")
    codes: list[int] = []
    failure = report_errors(lambda: codes.append(_score(flags)), is_debug=flags.debug)
    return failure or codes[0]


def _score(flags: ScoreFlags) -> int:
    # late: help needs no torch
    from sam2_video.scoring import score, table, write_csv, write_json

    report = score(
        flags.truth,
        flags.predictions,
        flags.protocol,
        count_first_and_last=flags.count_first_and_last,
        missing=flags.missing,
        num_processes=flags.num_processes,
    )
    print(table(report))
    for path, write in ((flags.json, write_json), (flags.csv, write_csv)):
        if path is not None:
            write(report, Path(path).expanduser())
    for note in report.notes:
        print(f"note: {note}", file=sys.stderr)
    for item in report.left_out:
        print(f"left out: video {item.video}: {item.reason}", file=sys.stderr)
    return USER_ERROR if report.left_out else _ALL_SCORED
