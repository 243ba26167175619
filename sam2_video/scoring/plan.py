"""Pair the mask files of a video's two sides, and name what is missing before anything is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sam2_video.data.frames import natural_key
from sam2_video.data.mask_folder import Key, MaskFolder, open_masks
from sam2_video.scoring.frames import LABEL_MAP, FrameTask
from sam2_video.scoring.protocol import Protocol

Missing = Literal["refuse", "empty", "skip"]
"""What predictions mean that are not there: their video is left out, they are empty masks, or
videos without any predictions are passed over (and others left out)."""


@dataclass(frozen=True)
class VideoPlan:
    """What is to be read of a video.

    `annotated[object]` are its annotated frames in order, under LABEL_MAP those of all objects;
    `scored[object]` those that count. `tasks` are by frame. `notes` says what is not scored.
    """

    video: str
    truth: MaskFolder
    prediction: MaskFolder
    missing: Missing
    annotated: Mapping[Key, Sequence[str]]
    scored: Mapping[Key, Sequence[str]]
    tasks: Mapping[str, FrameTask]
    notes: Sequence[str]


def plan_video(
    video: str,
    truth_dir: Path,
    prediction_dir: Path,
    protocol: Protocol,
    *,
    counts_all_frames: bool,
    missing: Missing,
) -> VideoPlan:
    """List and pair a video's masks.

    Args:
        video: its name.
        truth_dir: folder of its true masks.
        prediction_dir: folder of its predicted masks.
        protocol: which frames count.
        counts_all_frames: count the first and last annotated frame too.
        missing: what a prediction that is not there means.

    Raises:
        ValueError: No frame counts, or predictions are missing.
    """
    truth = open_masks(truth_dir)
    prediction = _open_predictions(prediction_dir, missing)
    _check_layouts(truth, prediction)
    sides: Mapping[Key, Mapping[str, Path]] = truth.objects or {LABEL_MAP: truth.labels}
    annotated = {key: list(files) for key, files in sides.items()}
    inner = slice(None) if counts_all_frames else slice(1, -1)
    scored = {key: frames[inner] for key, frames in annotated.items()}
    frames = sorted({frame for names in scored.values() for frame in names}, key=natural_key)
    if not frames:
        counts = sorted({len(names) for names in annotated.values()})
        raise ValueError(
            f"{truth_dir}: no frame to score: {counts[-1]} annotated, and the first and the last "
            "do not count; use --count-first-and-last"
        )
    # which objects folders are expected for a label map, only its pixels say: see `outcome`
    is_known = bool(truth.objects) or not prediction.objects
    notes = check_missing(video, scored, prediction, missing) if is_known else []
    tasks = {
        frame: FrameTask(
            {key: sides[key][frame] for key in sides if frame in scored[key]},
            _predictions_of(frame, prediction),
            protocol.matches_proposals,
        )
        for frame in frames
    }
    return VideoPlan(video, truth, prediction, missing, annotated, scored, tasks, notes)


def _open_predictions(folder: Path, missing: Missing) -> MaskFolder:
    if folder.is_dir():
        return open_masks(folder)
    if missing != "empty":
        raise FileNotFoundError(
            f"{folder}: no predictions of this video; write them, or use --missing empty or skip"
        )
    return MaskFolder(folder)


def _predictions_of(frame: str, prediction: MaskFolder) -> dict[Key, Path]:
    if frame in prediction.labels:
        return {LABEL_MAP: prediction.labels[frame]}
    return {key: files[frame] for key, files in prediction.objects.items() if frame in files}


def _check_layouts(truth: MaskFolder, prediction: MaskFolder) -> None:
    """Refuse folders of objects that no label can stand for, where the other side has labels."""
    for side, other in ((truth, prediction), (prediction, truth)):
        for key in side.objects if other.labels else ():
            if not isinstance(key, int) or not 1 <= key <= 254:
                raise ValueError(
                    f"{side.path / side.name_of(key)}: no label of the other side's label maps "
                    f"({other.path}) can be this object; expected folders 1 to 254: write "
                    "both sides as VIDEO/OBJECT/*.png"
                )


def check_missing(
    video: str,
    expected: Mapping[Key, Sequence[str]],
    prediction: MaskFolder,
    missing: Missing,
) -> list[str]:
    """Return a line for missing predictions where they count as empty.

    Args:
        video: its name.
        expected: the frames on which each object, or a label map, is expected.
        prediction: the files that are there.
        missing: whether to refuse them instead.

    Raises:
        ValueError: Predictions are missing and must not be.
    """
    absent: list[str] = []
    if prediction.labels or LABEL_MAP in expected:
        # one file a frame, whichever objects are expected on it
        frames = dict.fromkeys(frame for names in expected.values() for frame in names)
        expected = {LABEL_MAP: list(frames)}
        absent = [f"frame {frame}" for frame in frames if frame not in prediction.labels]
    else:
        for key, names in expected.items():
            there = prediction.objects.get(key, {})
            absent += [f"object {key} frame {frame}" for frame in names if frame not in there]
    if not absent:
        return []
    number = sum(len(frames) for frames in expected.values())
    shown = ", ".join(absent[:3]) + (", ..." if len(absent) > 3 else "")
    line = f"{len(absent)} of {number} predicted masks are missing ({shown})"
    if missing != "empty":
        raise ValueError(
            f"{prediction.path}: {line}; write a mask for every annotated frame, an empty one "
            "where nothing is predicted, or use --missing empty"
        )
    return [f"video {video}: {line}: counted as empty"]
