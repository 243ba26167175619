"""The tables of docs/parity.md, made from what `benchmarks.parity` measured."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "parity.md"
BEGIN = "<!-- tables: python -m benchmarks.parity -->"
END = "<!-- end of tables -->"
MASKS = ("hypotheses", "masks", "given masks")
SCORES = ("scores", "given scores")


def write_tables(page: str, result: Mapping[str, Any]) -> str:
    """Return the page with its tables made anew."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE}: expected the lines {BEGIN!r} and {END!r}")
    parts = [
        _versions(result["versions"]),
        "### Ours against Meta's\n\n" + _cases(list(result["rows"].values())),
        "### Meta's against itself\n\n" + _noise(list(result["noise"].values())),
        "### Ten steps of AdamW\n\n" + _descents(list(result["descent"].values())),
    ]
    return f"{head}{BEGIN}\n" + "\n\n".join(parts) + f"\n{END}{tail}"


def _versions(versions: Mapping[str, str]) -> str:
    return "Measured with " + ", ".join(f"{name} {value}" for name, value in versions.items()) + "."


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cases(rows: Sequence[Mapping[str, Any]]) -> str:
    head = [*_CASE_HEAD, "masks", "IoU", "scores", "pointers", "loss", "gradient", "worst tensor"]
    return _table([*head, "random loss' gradient"], [_case_row(row) for row in rows])


def _case_row(row: Mapping[str, Any]) -> list[str]:
    outputs, gradients = row["outputs"], row["gradients"]
    numbers = [
        max(outputs[kind] for kind in MASKS),
        outputs["iou"],
        max(outputs[kind] for kind in SCORES),
        outputs["pointers"],
        max(row["loss"], *row["terms"].values()),
        gradients["official"]["total"],
        gradients["official"]["tensor"],
    ]
    random = _number(gradients["random"]["total"]) if "random" in gradients else ""
    cells = [*_describe(row), *(_number(x) for x in numbers), random]
    if row["jump"] is not None:
        cells[-3] += f" (kink: {_number(row['jump']['gradients']['official']['total'])})"
    return cells


_CASE_HEAD = (
    "network",
    "pixels",
    "prompt",
    "on frames",
    "frames x clicks",
    "objects",
    "absent",
    "frames",
)


def _describe(row: Mapping[str, Any]) -> list[str]:
    """Return the case's columns; `absent` says how much of what was tracked was judged so."""
    case = row["case"]
    network = case["architecture"] + (", float64" if row.get("is_double") else "")
    share = row.get("share_absent", 0)
    # rows without clicks may be older than the key
    clicks = case.get("clicks")
    return [
        network,
        str(case["side"]),
        case["prompt"],
        str(case["num_conditioning"]),
        "" if clicks is None else f"{clicks['num_frames']} x {clicks['num_clicks']}",
        str(len(case["object_clip"])),
        f"{share:.0%}" if case["is_absent"] and "share_absent" in row else _said(case["is_absent"]),
        str(case["num_frames"]),
    ]


def _said(is_absent: bool) -> str:
    return "yes" if is_absent else "no"


def _noise(rows: Sequence[Mapping[str, Any]]) -> str:
    head = [*_CASE_HEAD, "what differs", "masks", "gradient", "worst tensor"]
    head.append("random loss' gradient")
    names = {"pixels": "each pixel by one rounding", "threads": "2 threads, not 1"}
    lines = []
    for row in rows:
        for kind, name in names.items():
            gap = row[kind]
            official = gap["gradients"]["official"]
            numbers = [
                gap["outputs"]["hypotheses"],
                official["total"],
                official["tensor"],
                gap["gradients"]["random"]["total"],
            ]
            lines.append([*_describe(row), name, *(_number(x) for x in numbers)])
    return _table(head, lines)


def _descents(rows: Sequence[Mapping[str, Any]]) -> str:
    head = ["learning rate", "worst step's loss", "parameters", "worst tensor"]
    head += ["what softmax is blind to", "way gone"]
    lines = []
    for row in rows:
        parameters = row["parameters"]
        numbers = [
            max(row["losses"]),
            parameters["total"],
            parameters["tensor"],
            parameters["blind"],
            row["moved"]["total"],
        ]
        lines.append([_number(row["lr"]), *(_number(x) for x in numbers)])
    return _table(head, lines)


def _number(value: float) -> str:
    return "0" if value == 0 else f"{value:.1e}"
