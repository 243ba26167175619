"""`python -m benchmarks.parity_video`: whole videos against Meta's predictor and transformers'.

Rows already in the result's file are kept, unless a version has changed since: a run that was
stopped goes on. The tables are printed.
"""

# ruff: noqa: ANN401 (Meta's predictor has no type of ours)

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.parity import versions
from sam2_video.model.architecture import find_architecture
from sam2_video.model.object_prompt import ObjectPrompt
from tests.model.video_cases import (
    Difference,
    ball_points,
    ball_video,
    lively_model,
    measure,
    our_tracks,
    video_cases,
)
from tests.model.video_oracle import (
    build_predictor,
    corrected_mask_prompts,
    meta_prompt,
    meta_propagate,
    meta_session,
    meta_tracks,
    transformers_tracks,
    unrounded_memory,
)

RESULTS = Path(__file__).with_name("results") / "parity-video.json"
EVERY = range(13)
MASK, BOX, AROUND = 0, 1, 12
# network, side of the input, which cases, frames at most
DESIGN = [
    ("sam2.1-tiny", 128, EVERY, None),
    ("sam2-tiny", 128, (MASK, BOX, AROUND), None),
    ("sam2.1-base-plus", 128, (MASK, AROUND), None),
    ("sam2.1-tiny", 256, (MASK, AROUND), None),
    ("sam2.1-tiny", 384, (MASK, BOX), 8),
    ("sam2.1-tiny", 448, (MASK, BOX), 8),
    ("sam2.1-tiny", 512, (MASK,), 8),
]
Row = dict[str, Any]


def measure_cases(network: str, side: int, numbers: Sequence[int], most: int | None) -> list[Row]:
    """Run some cases on one network and return a row for each."""
    model = lively_model(find_architecture(network), side)
    predictor = build_predictor(model)
    rows = []
    for number in numbers:
        case = video_cases((side, side))[number]
        if most is not None:
            # what is said after the comma happens later
            name = case.name.partition(",")[0]
            case = replace(case, name=name, num_frames=min(case.num_frames, most))
        how = (case.frames, case.prompts, case.start, case.direction)
        ours = our_tracks(model, case)
        row = {
            "network": network,
            "side": side,
            "case": case.name,
            "frames": case.num_frames,
            "meta": measure(ours, meta_tracks(predictor, *how)),
            "transformers": measure(ours, transformers_tracks(model, *how)),
        }
        with unrounded_memory():
            exact = our_tracks(model, case)
            row["meta, memory in fp32"] = measure(exact, meta_tracks(predictor, *how))
            with corrected_mask_prompts(pointer=True, memory=True):
                row["transformers, memory in fp32, masks as Meta"] = measure(
                    exact, transformers_tracks(model, *how)
                )
        rows.append(_plain(row))
        print(f"{network} {side} {case.name}", flush=True)
    return rows


def measure_deviations() -> list[Row]:
    """Measure what is known to differ from Meta's predictor, on tiny at 128 pixels."""
    model = lively_model(find_architecture("sam2.1-tiny"))
    predictor = build_predictor(model)
    found = {
        "frames of 160 x 224 pixels: bilinear here, bicubic there": _resized,
        "three clicks on a frame: at once here, in two calls there": _refined,
        "a click on frame 5: known beforehand here, a correction after tracking there": _corrected,
    }
    with unrounded_memory():
        return [
            _plain({"case": name} | compare(model, predictor)) for name, compare in found.items()
        ]


def _resized(model: Any, predictor: Any) -> Row:
    """Let each side resize the frames in its own way."""
    case = replace(video_cases((160, 224))[MASK], num_frames=8)
    with tempfile.TemporaryDirectory() as folder:
        for index, frame in enumerate(case.frames):
            picture = Image.fromarray(frame.permute(1, 2, 0).numpy())
            # Meta reads whatever has this ending
            picture.save(Path(folder) / f"{index}.jpg", format="png")
        state = predictor.init_state(folder)
    meta_prompt(predictor, state, case.prompts[0])
    return {"meta": measure(our_tracks(model, case), meta_propagate(predictor, state))}


def _refined(model: Any, predictor: Any) -> Row:
    """Give Meta the first click alone, and then all three."""
    case = video_cases()[3]
    (clicks,) = case.prompts
    state = meta_session(predictor, case.frames)
    for number in (1, 3):
        points, labels = (clicks.points or ())[:number], (clicks.labels or ())[:number]
        meta_prompt(predictor, state, replace(clicks, points=points, labels=labels))
    return {"meta": measure(our_tracks(model, case), meta_propagate(predictor, state))}


def _corrected(model: Any, predictor: Any) -> Row:
    """Give Meta the second click after it has tracked, and let it track again."""
    case = video_cases()[2]
    mask = ball_video(case.num_frames)[1][5]
    correction = ObjectPrompt(3, 5, points=ball_points(mask)[:1], labels=[1])
    state = meta_session(predictor, case.frames)
    meta_prompt(predictor, state, case.prompts[0])
    meta_propagate(predictor, state)
    meta_prompt(predictor, state, correction)
    ours = our_tracks(model, replace(case, prompts=(*case.prompts, correction)))
    return {"meta": measure(ours, meta_propagate(predictor, state))}


def _plain(row: Mapping[str, Any]) -> Row:
    return {
        name: asdict(value) if isinstance(value, Difference) else value
        for name, value in row.items()
    }


def main() -> None:
    """Measure what is missing, network by network, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", action="store_true", help="only print the tables")
    options = parser.parse_args()
    tasks: dict[str, Callable[[], list[Row]]] = {
        f"{network} {side}": partial(measure_cases, network, side, numbers, most)
        for network, side, numbers, most in DESIGN
    }
    tasks["deviations"] = measure_deviations
    result = {"versions": versions(), "rows": {}}
    if RESULTS.is_file():
        stored = json.loads(RESULTS.read_text())
        result = stored if options.page or stored["versions"] == result["versions"] else result
    for name, task in tasks.items():
        if not options.page and name not in result["rows"]:
            result["rows"][name] = task()
            part = RESULTS.with_suffix(".part")
            part.write_text(json.dumps(result, indent=1) + "\n")
            part.replace(RESULTS)
    print(tables(result["rows"]))


def tables(rows: Mapping[str, list[Row]]) -> str:
    """Return the result in Markdown."""
    head = ["network", "pixels", "case", "frames", "least IoU", "logits", "score"]
    head += ["logits, memory in fp32", "transformers: least IoU", "logits", "with masks as Meta"]
    lines = [_line(head), _line(["---"] * len(head))]
    for name in rows:
        lines += [_case_line(row) for row in rows[name] if "network" in row]
    head = ["what differs from Meta's predictor", "least IoU", "logits"]
    lines += ["", _line(head), _line(["---"] * len(head))]
    for row in rows.get("deviations", ()):
        lines.append(_line([row["case"], _iou(row["meta"]), _size(row["meta"])]))
    return "\n".join(lines)


def _case_line(row: Row) -> str:
    meta, theirs = row["meta"], row["transformers"]
    return _line(
        [
            row["network"],
            str(row["side"]),
            row["case"],
            str(row["frames"]),
            _iou(meta),
            _size(meta),
            f"{meta['score_error']:.0e}",
            _size(row["meta, memory in fp32"]),
            _iou(theirs),
            _size(theirs),
            _size(row["transformers, memory in fp32, masks as Meta"]),
        ]
    )


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _iou(difference: Mapping[str, float]) -> str:
    return f"{difference['least_iou']:.5f}"


def _size(difference: Mapping[str, float]) -> str:
    return f"{difference['largest_error']:.0e}"


if __name__ == "__main__":
    main()
