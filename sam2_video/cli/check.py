"""The verb `check`: data in; what is there, what is wrong with it, and pictures out."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import Positional

from sam2_video.cli.verbs import USAGE_ERROR, USER_ERROR, parse, report_errors
from sam2_video.config import TrainConfig
from sam2_video.configuration import ConfigurationError, load_config

if TYPE_CHECKING:
    from sam2_video.data.check import Inspection

MOSAIC, TIMELINE, REPORT = "mosaic.png", "timeline.png", "check.json"


@dataclass(frozen=True)
class CheckFlags:
    """Flags of `check`; a setting that is left out is the configuration's."""

    data: Annotated[Positional[str | None], tyro.conf.arg(metavar="DATA")] = None
    """a folder of videos, a DAVIS tree, SA-V, a COCO JSON file ...; or give --config"""
    config: str | None = None
    """a training configuration (YAML): its section `dataset` is checked, `more` included"""
    masks_path: str | None = None
    """masks in a parallel tree, or the images' folder of a COCO file"""
    val_path: str | None = None
    """validation videos; left out: some are held out as training would do it"""
    val_masks_path: str | None = None
    """like --masks-path, for --val-path"""
    format: str | None = None
    """the layout, as dataset.format names it; left out: recognised"""
    video_pattern: str | None = None
    """finds (?P<frame>...) and (?P<video>...) in the file names of a COCO file without video_id"""
    follow_links: bool = False
    """read files outside the data that symbolic links in it lead to"""
    image_size: tuple[int, int] | None = None
    """height and width of the model's input, at which sizes are judged"""
    video_clip_length: int | None = None
    """frames a training clip"""
    out: str | None = None
    """folder to write mosaic.png, timeline.png and check.json to"""
    json: str | None = None
    """write everything that was found to this JSON file"""
    full: bool = False
    """decode every frame; left out: a JPEG's or PNG's header and end are looked at, all masks and
    some frames of each video are decoded"""
    no_index: bool = False
    """read all anew, and keep nothing of it in the user's cache"""
    processes: int | None = None
    """processes that read; left out: one a core, if there is enough to do"""
    debug: bool = False
    """show where an error came from"""


_SETTINGS = ("masks_path", "val_path", "val_masks_path", "format", "image_size")
_SETTINGS += ("video_clip_length", "video_pattern")


def run_check(argv: Sequence[str], program: str = "sam2-video check") -> int:
    """Check as the command line says; return 1 where there are errors in the data, else 0."""
    summary = "Look at data before any GPU work: what is there, and what is wrong with it."
    flags = parse(argv, program, CheckFlags, summary)
    try:
        config = _configure(flags)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return USAGE_ERROR
    if config.dataset.data_path is None:
        print(f"{program}: no data are named; give {program} DATA, or --config", file=sys.stderr)
        return USAGE_ERROR
    codes: list[int] = []
    failure = report_errors(lambda: codes.append(_check(flags, config)), is_debug=flags.debug)
    return failure or codes[0]


def _configure(flags: CheckFlags) -> TrainConfig:
    given: dict[str, Any] = {"data_path": flags.data}
    given |= {name: getattr(flags, name) for name in _SETTINGS}
    given["follow_links"] = flags.follow_links or None
    overrides: Mapping[str, Any] = {
        f"dataset.{name}": value for name, value in given.items() if value is not None
    }
    return load_config(Path(flags.config) if flags.config is not None else None, overrides)


def _check(flags: CheckFlags, config: TrainConfig) -> int:
    # late: help needs no torch
    from sam2_video.data.check import inspect_data, summarise
    from sam2_video.data.check.text import describe
    from sam2_video.files import write_json

    inspection = inspect_data(
        config.dataset,
        config.seed,
        full=flags.full,
        keep_index=not flags.no_index,
        num_processes=flags.processes,
    )
    report = summarise(inspection)
    print(describe(report))
    if flags.json is not None:
        write_json(Path(flags.json).expanduser(), report.as_dict())
    if flags.out is not None:
        out = Path(flags.out).expanduser()
        write_json(out / REPORT, report.as_dict())
        names = [REPORT, *_draw(inspection, out)]
        print(f"wrote {', '.join(names)} to {out}")
    return USER_ERROR if report.has_errors else 0


def _draw(inspection: "Inspection", out: Path) -> list[str]:
    from PIL import Image

    from sam2_video.files import whole
    from sam2_video.visualise.checked import draw_mosaic, draw_timeline

    written = []
    for name, draw in ((MOSAIC, draw_mosaic), (TIMELINE, draw_timeline)):
        picture = draw(inspection)
        if picture is not None:
            with whole(out / name) as part:
                Image.fromarray(picture).save(part, format="PNG", compress_level=1)
            written.append(name)
    return written
