"""Track what the prompts show through a video, and write masks, a movie and a sheet of it."""

import os
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from sam2_video.data.footage import Footage, open_footage
from sam2_video.inference import Accelerator, choose_device, load_model, track
from sam2_video.model.propagation import Direction
from sam2_video.model.sam2 import SAM2Model
from sam2_video.model.stream import OBJECTS_AT_ONCE, ObjectPrompt
from sam2_video.prediction.coco import write_coco
from sam2_video.prediction.folder import COCO, check_free, claim, write_summary, writing
from sam2_video.prediction.masks import MaskOutput
from sam2_video.prediction.pictures import draw_prediction
from sam2_video.prediction.progress import Bars
from sam2_video.prediction.prompt_file import read_prompt_file
from sam2_video.prediction.prompts import collect_prompts
from sam2_video.prediction.requests import PromptRequest, from_prompt
from sam2_video.prediction.store import MaskStore
from sam2_video.prediction.summary import Prediction, Settings, describe

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
_AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
FOLDER_FRAME_RATE = 24.0
"""Of the movie of a folder of images, which does not tell its own."""


@dataclass(frozen=True)
class _Task:
    """What is to be tracked, and how."""

    footage: Footage
    prompts: Sequence[ObjectPrompt]
    settings: Settings


def predict(
    video: str | os.PathLike[str],
    checkpoint: str | os.PathLike[str] | SAM2Model,
    out: str | os.PathLike[str],
    prompts: Sequence[ObjectPrompt | PromptRequest] | str | os.PathLike[str],
    *,
    config: str | None = None,
    image_size: tuple[int, int] | None = None,
    start: int | None = None,
    direction: Direction = "forward",
    per_object: bool = False,
    save_frames: bool = False,
    frame_rate: int | float | None = None,
    overwrite: bool = False,
    max_objects: int = OBJECTS_AT_ONCE,
    accelerator: Accelerator = "auto",
    precision: Precision = "32-true",
) -> Prediction:
    """Track objects through a video and write their masks, a movie and a contact sheet.

    Args:
        video: a video file, or a folder of images.
        checkpoint: whatever `SAM2Model.load` takes, or a model in eval mode.
        out: the folder to write.
        prompts: what to track, or a JSON file that says so.
        config: the architecture's name or Meta's YAML; None = as the checkpoint tells.
        image_size: height, width of the model's input; None = as the checkpoint tells.
        start: see `SAM2Model.track`.
        direction: see `SAM2Model.track`.
        per_object: a folder of masks for each object, which may overlap; else label maps.
        save_frames: write the frames of a video file too, so that the folder can be trained on.
        frame_rate: of the movie of a folder of images.
        overwrite: replace an earlier prediction in the folder.
        max_objects: how many objects run together.
        accelerator: what to compute on.
        precision: of the network.

    Raises:
        FileNotFoundError: no such video, checkpoint or prompts.
        ValueError: a video, prompt, checkpoint or setting that cannot be used, or a folder that
            cannot be written.
    """
    footage = open_footage(Path(video).expanduser())
    _check(footage, start, frame_rate, save_frames=save_frames)
    shown = _read_prompts(prompts, footage)
    target = Path(out).expanduser()
    check_free(target, overwrite=overwrite)
    if isinstance(checkpoint, SAM2Model):
        model, source = checkpoint, None
    else:
        source = os.fspath(checkpoint)
        model = load_model(source, config, image_size, choose_device(accelerator))
    claim(target)
    layout = "objects" if per_object else "davis"
    task = _Task(footage, shown, Settings(start, direction, layout, max_objects, precision))
    with writing(target):
        store = MaskStore(target)
    with store, Bars() as bars:
        done = _track(model, task, target, store, bars)
        with writing(target):
            write_coco(target / COCO, footage, store)
        rate = frame_rate or footage.frame_rate or FOLDER_FRAME_RATE
        draw_prediction(footage, done, store, rate, bars, save_frames=save_frames)
    with writing(target):
        write_summary(target, describe(done, Path(video), source, model, task.settings))
    return done


def _check(
    footage: Footage, start: int | None, frame_rate: int | float | None, *, save_frames: bool
) -> None:
    """Refuse settings that do not fit the video."""
    last = len(footage.frames) - 1
    if start is not None and not 0 <= start <= last:
        raise ValueError(f"start: got {start}; expected a frame of the video, 0 to {last}")
    if footage.images is None and frame_rate is not None:
        raise ValueError(
            f"frame_rate: got {frame_rate:g}, but {footage.name} is a video file and has its own "
            f"({footage.frame_rate or 0:.2f}); leave --frame-rate out"
        )
    if frame_rate is not None and not 0 < frame_rate <= 1000:
        raise ValueError(f"frame_rate: got {frame_rate:g}; expected a number above 0, up to 1000")
    if footage.images is not None and save_frames:
        raise ValueError(
            f"save_frames: {footage.name} is a folder of frames already; leave --save-frames out"
        )


def _read_prompts(
    prompts: Sequence[ObjectPrompt | PromptRequest] | str | os.PathLike[str], footage: Footage
) -> list[ObjectPrompt]:
    if isinstance(prompts, str | os.PathLike):
        prompts = read_prompt_file(Path(prompts).expanduser())
    requests = [x if isinstance(x, PromptRequest) else from_prompt(x) for x in prompts]
    return collect_prompts(requests, footage.size, len(footage.frames))


def _track(model: SAM2Model, task: _Task, out: Path, store: MaskStore, bars: Bars) -> Prediction:
    """Write the masks of each frame as soon as it is tracked."""
    settings, num_frames = task.settings, len(task.footage.frames)
    object_ids = sorted({prompt.object_id for prompt in task.prompts})
    with writing(out):
        output = MaskOutput(out, task.footage, object_ids, settings.layout, store)
    dtype = _AUTOCAST.get(settings.precision, torch.float32)
    start = time.monotonic()
    frames = track(
        model.eval(),
        task.footage.frames,
        task.prompts,
        start=settings.start,
        direction=settings.direction,
        max_objects=settings.max_objects,
    )
    with (
        closing(frames),
        bars.show("tracking", _count_steps(task)) as advance,
        torch.autocast(model.device.type, dtype, enabled=dtype != torch.float32),
    ):
        for frame in frames:
            with writing(out):
                output.add(frame)
            advance()
    return Prediction(
        out,
        num_frames,
        len(store.frames),
        tuple(object_ids),
        time.monotonic() - start,
    )


def _count_steps(task: _Task) -> int:
    """Return how many frames are visited, those of both directions twice."""
    start, num_frames = task.settings.start, len(task.footage.frames)
    firsts: dict[int, int] = {}
    for prompt in task.prompts:
        firsts[prompt.object_id] = min(prompt.frame, firsts.get(prompt.object_id, prompt.frame))
    last = max(firsts.values()) if start is None else start
    forward, reverse = num_frames - (start or 0), last + 1
    if task.settings.direction == "both":
        return forward + (reverse if last else 0)
    return forward if task.settings.direction == "forward" else reverse
