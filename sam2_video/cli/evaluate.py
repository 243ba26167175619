"""The verb `evaluate`: a checkpoint and a data set in, a table of scores out."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from sam2_video.cli.verbs import USER_ERROR, parse, report_errors


@dataclass(frozen=True)
class EvaluateFlags:
    """Flags of `evaluate`."""

    checkpoint: Annotated[Positional[str], tyro.conf.arg(metavar="CHECKPOINT")]
    """a run's best_model.pth or .ckpt, Meta's .pt, what `export` wrote, or a folder or hub id that
    transformers loads"""
    data_path: str
    """a folder of videos, a DAVIS tree (JPEGImages, Annotations), or a COCO JSON file"""
    masks_path: str | None = None
    """masks in a parallel tree, or the images' folder of a COCO file"""
    follow_links: bool = False
    """read files outside the data that symbolic links in it lead to"""
    config: str | None = None
    """the architecture's name or Meta's YAML; left out: as the checkpoint tells"""
    image_size: tuple[int, int] | None = None
    """height and width of the model's input; left out: as the checkpoint or its run tells"""
    videos: tuple[str, ...] = ()
    """names of videos, or text files that list them, such as ImageSets/2017/val.txt; left out: all
    videos"""
    prompt: Literal["mask", "box", "point"] = "mask"
    """what is shown of each object on the first frame on which it appears"""
    num_points: int = 1
    """points an object, with --prompt point"""
    clicks: int = 0
    """correction clicks an object before it is tracked, with --prompt box or point: each on the
    centre of the largest error that is left"""
    layout: Literal["auto", "davis", "objects"] = "auto"
    """davis: one object a pixel, the highest logit wins; objects: each by itself; auto: as the
    truth, label maps or masks that may overlap"""
    count_first_and_last: bool = False
    """count each object's first and last annotated frame too"""
    out: str | None = None
    """folder of scores.json, scores.csv and scores.txt; an evaluation that was broken off there
    goes on"""
    save_masks: bool = False
    """write the masks of every frame to OUT/masks as palette PNG: VIDEO/*.png, or
    VIDEO/OBJECT/*.png"""
    json: str | None = None
    """write all scores to this JSON file"""
    csv: str | None = None
    """write all scores to this CSV file"""
    max_objects: int = 16
    """how many objects run together: less takes less memory"""
    processes: int = 1
    """local processes on the CPU that share the videos (GPUs: torchrun --nproc-per-node N
    --no-python sam2-video evaluate ...)"""
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    """what to compute on"""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """of the network"""
    debug: bool = False
    """show where an error came from"""


def run_evaluate(argv: Sequence[str], program: str = "sam2-video evaluate") -> int:
    """Evaluate as the command line says; return 1 where a video was left out, else 0."""
    summary = "Score a checkpoint on whole videos, each object prompted where it first appears."
    flags = parse(argv, program, EvaluateFlags, summary)
    codes: list[int] = []
    failure = report_errors(lambda: codes.append(_evaluate(flags)), is_debug=flags.debug)
    return failure or codes[0]


def _evaluate(flags: EvaluateFlags) -> int:
    # late: help needs no torch
    from loguru import logger

    from sam2_video.evaluation import evaluate
    from sam2_video.files import write_json
    from sam2_video.scoring import table, write_csv

    is_first = os.environ.get("RANK", "0") == "0"
    if not is_first:
        # the first process tells what came of all
        logger.disable("sam2_video")
    result = evaluate(
        flags.checkpoint,
        flags.data_path,
        masks_path=flags.masks_path,
        follow_links=flags.follow_links,
        config=flags.config,
        image_size=flags.image_size,
        videos=flags.videos,
        prompt=flags.prompt,
        num_points=flags.num_points,
        clicks=flags.clicks,
        layout=flags.layout,
        count_first_and_last=flags.count_first_and_last,
        out=flags.out,
        save_masks=flags.save_masks,
        max_objects=flags.max_objects,
        processes=flags.processes,
        accelerator=flags.accelerator,
        precision=flags.precision,
    )
    report = result.report
    if is_first:
        print(table(report))
        if flags.json is not None:
            write_json(Path(flags.json).expanduser(), result.as_dict())
        if flags.csv is not None:
            write_csv(report, Path(flags.csv).expanduser())
        for note in report.notes:
            print(f"note: {note}", file=sys.stderr)
        for item in report.left_out:
            print(f"left out: video {item.video}: {item.reason}", file=sys.stderr)
    return USER_ERROR if report.left_out else 0
