"""`python -m benchmarks.parity`: training parity with Meta's code, case by case, and its tables.

Rows already in the result's file are kept, unless a version has changed since: a run that was
stopped goes on. `--page` only writes the tables into docs/parity.md.
"""

import argparse
import gc
import json
import math
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, fields, replace
from functools import partial
from importlib.metadata import version
from itertools import combinations, product
from pathlib import Path
from typing import Any

import torch

from benchmarks.parity_page import PAGE, write_tables
from tests.model.descent import descend
from tests.model.double import in_double
from tests.model.gaps import Gap, compare, excesses
from tests.model.kinks import compare_with_meta
from tests.model.meta_clicks import Clicks
from tests.model.parity import (
    BOTH_LOSSES,
    Case,
    build_both,
    draw_user,
    make_clips,
    meta_says,
    ours_says,
    share_absent,
)

RESULTS = Path(__file__).with_name("results") / "parity.json"
SMALL = {
    "prompt": ("mask", "point", "box"),
    "num_conditioning": (1, 2),
    "object_clip": ((0,), (0, 0, 1)),
    "is_absent": (False, True),
}
LARGE = {
    "architecture": ("sam2.1-tiny", "sam2-tiny", "sam2.1-base-plus"),
    "side": (256, 512),
    **SMALL,
    "object_clip": ((0,), (0, 0, 0)),
}
# frames on which all objects are shown, and frames that are corrected, those first
CORRECTED = {
    "prompt": ("point", "box"),
    "shown_and_corrected": ((1, 1), (1, 2), (2, 2)),
    "object_clip": ((0,), (0, 0, 1)),
    "is_absent": (False, True),
}
LARGE_CORRECTED = {
    "architecture": LARGE["architecture"],
    **CORRECTED,
    "object_clip": LARGE["object_clip"],
}
# of the clicks, as in Meta's fine-tuning recipe
FROM_TRUTH = 0.1
DESCENT_RATE = 1e-4
Result = dict[str, Any]


def design() -> list[Case]:
    """Return the cases of the table, cheap ones first.

    At 128 pixels every combination of prompts, objects and absence; at 256 and 512 pixels and for
    all networks so many that every two values of two factors meet; and clips of 20 frames. The
    same with correction clicks, up to 256 pixels.
    """
    cases = [Case(**row) for row in combine(SMALL)]
    long = Case(object_clip=(0,), num_frames=20)
    cases += [long, replace(long, prompt="point", is_absent=True), replace(long, prompt="box")]
    cases += [Case(**row) for row in covering(LARGE)]
    cases += [corrected(**row) for row in combine(CORRECTED)]
    return cases + [corrected(side=256, **row) for row in covering(LARGE_CORRECTED)]


def corrected(shown_and_corrected: tuple[int, int], **settings: Any) -> Case:  # noqa: ANN401
    """Return a case with the seven clicks of Meta's recipe on each corrected frame."""
    num_shown, num_corrected = shown_and_corrected
    clicks = Clicks(num_corrected, from_truth=FROM_TRUTH)
    return Case(num_conditioning=num_shown, clicks=clicks, **settings)


def combine(factors: dict[str, tuple]) -> list[dict[str, Any]]:
    """Return every combination of the factors' values."""
    return [dict(zip(factors, values, strict=True)) for values in product(*factors.values())]


def covering(factors: dict[str, tuple]) -> Iterator[dict[str, Any]]:
    """Yield combinations until every two values of two factors have met in one, greedily."""
    rows = combine(factors)
    missing = {pair for row in rows for pair in combinations(row.items(), 2)}
    while missing:
        row = max(rows, key=lambda row: len(missing & set(combinations(row.items(), 2))))
        missing -= set(combinations(row.items(), 2))
        yield row


def measure(case: Case, is_double: bool = False) -> Result:
    """Run one case with both sides and return a row."""
    start = time.perf_counter()
    # the random loss costs as much again: where a step takes seconds, not minutes
    losses = BOTH_LOSSES if case.side < 256 else ["official"]
    with in_double() if is_double else nullcontext():
        model, meta = build_both(case)
        ours = ours_says(model, case, draw_user(meta, case), losses)
        gap, jump = compare_with_meta(ours, meta, case, losses)
    seconds = round(time.perf_counter() - start)
    row = {"case": asdict(case), "is_double": is_double, "share_absent": share_absent(ours)}
    row |= asdict(gap) | {"jump": None if jump is None else asdict(jump)}
    return row | {"excesses": excesses(gap), "seconds": seconds}


def measure_noise(case: Case) -> Result:
    """Compare Meta with Meta: every pixel moved by one rounding, and two threads for one."""
    _, meta = build_both(case)
    pixels, _ = make_clips(case)
    plain = meta_says(meta, case, BOTH_LOSSES)
    moved = meta_says(
        meta, case, BOTH_LOSSES, torch.nextafter(pixels, torch.full_like(pixels, math.inf))
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if threads > 1 else 2)
    other = meta_says(meta, case, BOTH_LOSSES)
    torch.set_num_threads(threads)
    gaps: dict[str, Gap] = {"pixels": compare(moved, plain), "threads": compare(other, plain)}
    return {"case": asdict(case)} | {name: asdict(gap) for name, gap in gaps.items()}


def measure_descent() -> Result:
    """Take ten steps on other clips each."""
    case = Case(object_clip=(0, 1), num_frames=3)
    return {"case": asdict(case), "lr": DESCENT_RATE} | asdict(descend(case, 10, DESCENT_RATE))


def name_of(case: Case) -> str:
    """Return the case in words, as the result's file keys it."""
    values = {field.name: getattr(case, field.name) for field in fields(case)}
    words = [f"{name}={value}" for name, value in values.items() if value is not None]
    return " ".join(words)


def tasks() -> dict[str, tuple[str, Callable[[], Result]]]:
    """Return what is to be measured by name: the section of the result, and how."""
    named: dict[str, tuple[str, Callable[[], Result]]] = {}
    for case in design():
        named[name_of(case)] = ("rows", partial(measure, case))
    double = [
        Case(num_frames=20, object_clip=(0,)),
        Case(prompt="point", is_absent=True),
        corrected((2, 2), prompt="box", is_absent=True),
    ]
    for case in double:
        named[f"double {name_of(case)}"] = ("rows", partial(measure, case, is_double=True))
    for case in (Case(is_absent=True), Case(object_clip=(0,), num_frames=20)):
        named[f"noise {name_of(case)}"] = ("noise", partial(measure_noise, case))
    named["descent"] = ("descent", measure_descent)
    return named


def versions() -> dict[str, str]:
    """Return what the numbers depend on."""
    names = ("torch", "transformers", "sam2", "numpy")
    return {name: version(name) for name in names} | {
        "python": platform.python_version(),
        "machine": platform.platform(),
        "threads": str(torch.get_num_threads()),
    }


def read_result() -> dict[str, Any]:
    """Return the result so far, if it was made with what is installed now."""
    empty = {"versions": versions(), "rows": {}, "noise": {}, "descent": {}}
    if not RESULTS.is_file():
        return empty
    result = json.loads(RESULTS.read_text())
    if result["versions"] != empty["versions"]:
        print(f"versions have changed, all anew: {result['versions']} -> {empty['versions']}")
        return empty
    return result


def write_result(result: dict[str, Any]) -> None:
    """Write the whole file, or nothing, in the order of the tasks and without what is none."""
    for name in ("rows", "noise", "descent"):
        section = result[name]
        result[name] = {task: section[task] for task in tasks() if task in section}
    RESULTS.parent.mkdir(exist_ok=True)
    part = RESULTS.with_suffix(".part")
    part.write_text(json.dumps(result, indent=1) + "\n")
    part.replace(RESULTS)


def main() -> None:
    """Measure what is missing, row by row, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", action="store_true", help="only write docs/parity.md")
    parser.add_argument("--only", default="", help="part of a row's name")
    options = parser.parse_args()
    if options.page:
        result = json.loads(RESULTS.read_text())
        write_result(result)
    else:
        result = read_result()
        wanted = {name: task for name, task in tasks().items() if options.only in name}
        for number, (name, (section, task)) in enumerate(wanted.items(), start=1):
            if name not in result[section]:
                print(f"{number} of {len(wanted)}: {name}", flush=True)
                result[section][name] = task()
                write_result(result)
                # Meta's wrapped methods hold the network in a cycle
                gc.collect()
    PAGE.write_text(write_tables(PAGE.read_text(), result))


if __name__ == "__main__":
    main()
