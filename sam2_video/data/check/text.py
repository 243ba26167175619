"""A check's report as text: findings by grade, what is alike once, and a table of the videos."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from sam2_video.data.check.report import GRADES, CheckReport, Finding, SetSummary, VideoSummary

MOST_ALIKE = 3
MOST_VIDEOS = 20
_HEAD = ("video", "part", "frames", "size", "labelled", "gap", "objects", "visible", "returns")
_HEAD += ("away", "side px")
_EXPLAINED = (
    "gap, away: most frames in a row without a label, and until an object comes back; side px: "
    "smallest, median, largest"
)
_LEFT = 2


def describe(report: CheckReport) -> str:
    """Return a report as text; of findings that are alike the first few, and how many more."""
    lines: list[str] = []
    for one in report.sets:
        lines += [*_describe_set(one, report), ""]
    for grade in GRADES:
        lines += _describe_findings(report.graded(grade))
    lines.append(", ".join(_count(len(report.graded(grade)), grade) for grade in GRADES))
    return "\n".join(map(_printable, lines))


def _printable(line: str) -> str:
    """Return a line without what a name of a file could do to a table or a terminal."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in line)


def _describe_set(one: SetSummary, report: CheckReport) -> Iterator[str]:
    height, width = report.image_size
    if one.layout is None:
        yield f"{one.path}: nothing that can be read"
        return
    frames = sum(video.frames for video in one.videos)
    objects = sum(len(video.objects) for video in one.videos)
    yield f"{one.path}: layout {one.layout} ({one.sureness}: {one.reason})"
    counts = ((len(one.videos), "video"), (frames, "frame"), (objects, "object"))
    sizes = f"; sides at {height} x {width} px" if one.videos else ""
    yield f"{', '.join(_count(*pair) for pair in counts)}{sizes}"
    if one.videos:
        yield from _table([_HEAD, *(_row(video) for video in one.videos[:MOST_VIDEOS])])
        yield _EXPLAINED
    if len(one.videos) > MOST_VIDEOS:
        yield f"({_count(len(one.videos) - MOST_VIDEOS, 'more video')}; --json has all)"


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'s' * (number != 1)}"


def _row(video: VideoSummary) -> tuple[str, ...]:
    spoken = sum(item.labelled for item in video.objects)
    visible = sum(item.visible for item in video.objects)
    medians = sorted(i.median_side for i in video.objects if i.median_side is not None)
    smallest = min((i.smallest_side for i in video.objects if i.smallest_side), default=None)
    largest = max((i.largest_side for i in video.objects if i.largest_side), default=None)
    sides = "-"
    if smallest is not None and largest is not None:
        sides = f"{smallest:.0f} {medians[len(medians) // 2]:.0f} {largest:.0f}"
    return (
        video.video,
        video.part,
        str(video.frames),
        f"{video.size[0]}x{video.size[1]}",
        f"{100 * video.labelled / max(video.frames, 1):.0f} %",
        str(video.longest_gap or "-"),
        str(len(video.objects)),
        f"{100 * visible / spoken:.0f} %" if spoken else "-",
        str(sum(item.returns for item in video.objects) or "-"),
        str(max((item.longest_absence for item in video.objects), default=0) or "-"),
        sides,
    )


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (
            text.ljust(width) if column < _LEFT else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()


def _describe_findings(findings: Sequence[Finding]) -> Iterator[str]:
    alike: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        # what readers say under one kind differs: a rare fault must not hide behind a common one
        shape = _shape(finding.message) if finding.grade == "error" else ""
        alike[finding.kind, shape].append(finding)
    for group in alike.values():
        for finding in group[:MOST_ALIKE]:
            yield f"{finding.grade}: {finding.line()}"
        if len(group) > MOST_ALIKE:
            more = len(group) - MOST_ALIKE
            yield f"{group[0].grade}: ... and {more} more like this ({group[0].kind})"


def _shape(message: str) -> str:
    """Return what is left of a message without names, numbers and what is in brackets."""
    return re.sub(r"\(.*?\)|\S*[\d/]\S*", "", message)
