"""The verb `predict`: a video and what to track in it, masks and a movie out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional, UseAppendAction

from sam2_video.cli.verbs import parse, report_errors

_Values = UseAppendAction[tuple[tuple[str, ...], ...]]


@dataclass(frozen=True)
class PredictFlags:
    """Flags of `predict`."""

    video: Annotated[Positional[str], tyro.conf.arg(metavar="VIDEO")]
    """a video file (mp4, mov, avi, mkv, webm, gif), or a folder of images"""
    checkpoint: str
    """a run's best_model.pth or .ckpt, Meta's .pt, what `export` wrote, a folder or hub id that
    transformers loads"""
    out: str
    """the folder to write: masks/, masks.json, overlay.mp4, contact_sheet.png, prediction.json"""
    mask: Annotated[_Values, tyro.conf.arg(metavar="[FRAME=]PNG")] = ()
    """mask of the first frame, or of FRAME: each of its values is an object; black and white is
    object 1"""
    box: Annotated[_Values, tyro.conf.arg(metavar="[OBJECT:]X0,Y0,X1,Y1[@FRAME]")] = ()
    """box around an object, in pixels: left, top, right, bottom"""
    point: Annotated[_Values, tyro.conf.arg(metavar="[OBJECT:]X,Y[@FRAME]")] = ()
    """point on an object, in pixels from the left and from the top"""
    negative_point: Annotated[_Values, tyro.conf.arg(metavar="[OBJECT:]X,Y[@FRAME]")] = ()
    """point beside an object, which shows what is not part of it"""
    prompts: str | None = None
    """JSON file of prompts: {"prompts": [{"object_id": 1, "frame": 0, "box": [X0, Y0, X1, Y1]},
    {"object_id": 2, "points": [[X, Y], ...], "labels": [1, ...]}, {"mask": "first.png"}]}"""
    start: int | None = None
    """track all objects from this frame; left out: each from its own first prompt"""
    direction: Literal["forward", "reverse", "both"] = "forward"
    """to the last frame, to the first, or both"""
    per_object: bool = False
    """masks/VIDEO/OBJECT/FRAME.png, which may overlap; left out: label maps masks/VIDEO/FRAME.png,
    in which the likelier object has the pixel"""
    save_frames: bool = False
    """write the frames of a video file too, so that the folder can be trained on"""
    frame_rate: float | None = None
    """frames a second of the movie of a folder of images; left out: 24"""
    overwrite: bool = False
    """replace an earlier prediction in the folder"""
    config: str | None = None
    """the architecture's name or Meta's YAML; left out: as the checkpoint tells"""
    image_size: tuple[int, int] | None = None
    """height and width of the model's input; left out: as the checkpoint or its run tells"""
    max_objects: int = 16
    """how many objects run together: less takes less memory"""
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    """what to compute on"""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """of the network"""
    debug: bool = False
    """show where an error came from"""


def run_predict(argv: Sequence[str], program: str = "sam2-video predict") -> int:
    """Predict as the command line says; return the exit code."""
    summary = "Track what you point at through a video. Flags of prompts may be repeated."
    flags = parse(argv, program, PredictFlags, summary)
    return report_errors(lambda: _predict(flags), is_debug=flags.debug)


def _predict(flags: PredictFlags) -> None:
    # late: help needs no torch
    from pathlib import Path

    from sam2_video.prediction import predict
    from sam2_video.prediction.prompt_file import read_prompt_file
    from sam2_video.prediction.requests import read_flags

    given = (flags.mask, flags.box, flags.point, flags.negative_point)
    prompts = read_flags(*([text for texts in flag for text in texts] for flag in given))
    if flags.prompts is not None:
        prompts += read_prompt_file(Path(flags.prompts).expanduser())
    done = predict(
        flags.video,
        flags.checkpoint,
        flags.out,
        prompts,
        config=flags.config,
        image_size=flags.image_size,
        start=flags.start,
        direction=flags.direction,
        per_object=flags.per_object,
        save_frames=flags.save_frames,
        frame_rate=flags.frame_rate,
        overwrite=flags.overwrite,
        max_objects=flags.max_objects,
        accelerator=flags.accelerator,
        precision=flags.precision,
    )
    objects = "object" if len(done.object_ids) == 1 else "objects"
    print(
        f"tracked {len(done.object_ids)} {objects} on {done.num_tracked} of {done.num_frames} "
        f"frames in {done.seconds:.1f} s ({done.frames_per_second:.1f} frames/s): {done.out} "
        "has masks, masks.json, overlay.mp4 and contact_sheet.png"
    )
