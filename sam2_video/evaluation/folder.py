"""The folder of an evaluation: finished videos are kept, so that a killed one goes on."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sam2_video.evaluation.settings import EvaluationSettings
from sam2_video.files import write_json
from sam2_video.inference.mask_files import file_name
from sam2_video.metrics import ObjectSummary

SETTINGS, JSON, CSV, TABLE = "evaluation.json", "scores.json", "scores.csv", "scores.txt"
VIDEOS, MASKS = "videos", "masks"


@dataclass(frozen=True)
class FinishedVideo:
    """A video that has been scored; `notes` says of which objects there is no score."""

    video: str
    objects: tuple[ObjectSummary, ...]
    num_tracked: int
    seconds: float
    notes: tuple[str, ...] = ()


def open_folder(out: Path, settings: EvaluationSettings) -> None:
    """Make the folder of a new evaluation, or take up the one that was begun there.

    Raises:
        ValueError: something else is there, or an evaluation with other settings.
    """
    path = out / SETTINGS
    if path.is_file():
        different = settings.differences(_read_json(path))
        if different:
            raise ValueError(
                f"out: {out} holds an evaluation with other settings ({'; '.join(different)}); "
                "give another --out, or remove the folder"
            )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"out: {out} is there and no evaluation; give another --out")
    (out / VIDEOS).mkdir(parents=True)
    write_json(path, settings.as_dict())


def keep_video(out: Path, done: FinishedVideo) -> None:
    """Write down that a video is finished, whole or not at all."""
    write_json(_path_of(out, done.video), asdict(done))


def read_video(out: Path, video: str) -> FinishedVideo | None:
    """Return the scores of a video that is finished; None of one that is not."""
    path = _path_of(out, video)
    if not path.is_file():
        return None
    content = _read_json(path)
    objects = tuple(ObjectSummary(**_restored(item)) for item in content.pop("objects"))
    notes = tuple(content.pop("notes"))
    return FinishedVideo(**content, objects=objects, notes=notes)


def _path_of(out: Path, video: str) -> Path:
    return out / VIDEOS / f"{file_name(video)}.json"


def _restored(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: math.nan if value is None else value for name, value in values.items()}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: no valid JSON ({error}); remove the file") from error
