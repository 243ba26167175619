"""What a check says: findings, and what each video and object is like."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Grade = Literal["error", "warning", "hint"]
GRADES: tuple[Grade, ...] = get_args(Grade)
Part = Literal["train", "val", "left out"]


@dataclass(frozen=True)
class Finding:
    """Something about the data that its user should know, and what to do about it.

    An error stops training, or would on reaching it; a warning costs quality or data; a hint may
    be as it should. `kind` names what is alike; the rest says where, so far as it is known.
    """

    grade: Grade
    kind: str
    message: str
    way_out: str
    file: str | None = None
    video: str | None = None
    frame: str | None = None
    object_id: int | None = None

    def line(self) -> str:
        """Return the finding in a line: where, what, and the way out."""
        names = (("video", self.video), ("frame", self.frame), ("object", self.object_id))
        places = [] if self.file is None else [self.file]
        parts = re.split(r"[/\\]|\.(?=[^.]*$)", self.file or "")
        places += [
            str(name) if str(name).startswith(kind) else f"{kind} {name}"
            for kind, name in names
            if name is not None and name not in parts
        ]
        where = f"{', '.join(places)}: " if places else ""
        return f"{where}{self.message}; {self.way_out}"


@dataclass(frozen=True)
class ObjectSummary:
    """One object of a video.

    `labelled` frames speak of it, on `visible` of them it is to be seen, `returns` counts how often
    it comes back, `longest_absence` the most frames in a row for which it is away until then. Sides
    are roots of areas in pixels of the model's input; `too_small` is the share of its masks that
    are smaller than one pixel of what the model draws.
    """

    object_id: int
    name: str | None
    labelled: int
    visible: int
    returns: int
    longest_absence: int
    smallest_side: float | None
    median_side: float | None
    largest_side: float | None
    too_small: float


@dataclass(frozen=True)
class VideoSummary:
    """One video; `size` is height and width, `unreadable` counts frames and masks.

    `longest_gap` is the most frames in a row without a label between two that have one.
    """

    video: str
    part: Part
    frames: int
    size: tuple[int, int]
    labelled: int
    longest_gap: int
    unreadable: int
    objects: tuple[ObjectSummary, ...]


@dataclass(frozen=True)
class SetSummary:
    """One path of data, how it was recognised, and its videos."""

    path: str
    layout: str | None
    reason: str | None
    sureness: str | None
    videos: tuple[VideoSummary, ...]


@dataclass(frozen=True)
class CheckReport:
    """What a check found; `image_size` and `clip_length` are what it was checked for."""

    image_size: tuple[int, int]
    clip_length: int
    sets: tuple[SetSummary, ...]
    findings: tuple[Finding, ...]

    @property
    def has_errors(self) -> bool:
        """Say whether training would fail."""
        return any(finding.grade == "error" for finding in self.findings)

    def graded(self, grade: Grade) -> Sequence[Finding]:
        """Return the findings of a grade."""
        return [finding for finding in self.findings if finding.grade == grade]

    def as_dict(self) -> dict[str, Any]:
        """Return the content of the JSON file."""
        return asdict(self) | {"has_errors": self.has_errors}
