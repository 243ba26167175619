"""The checkpoint that a run is resumed from: where it stands, and whether it fits."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam2_video.config import TrainerConfig
from sam2_video.files import read_numbers
from sam2_video.model.checkpoint import read_pickle
from sam2_video.training.folder import (
    BEST,
    CHECKPOINTS,
    LAST,
    METRICS_CSV,
    find_resume,
    is_finished,
)
from sam2_video.training.optimiser import named_indices
from sam2_video.training.state_file import find_fault, list_states
from sam2_video.training.trainer import MemoryTuner


@dataclass(frozen=True)
class Resume:
    """A checkpoint, its run's folder, and how far the run has come in it."""

    checkpoint: Path
    output_dir: Path
    step: int
    num_epochs: int
    shapes: Mapping[str, tuple[int, ...]]
    trained: frozenset[str]
    damaged: tuple[str, ...] = ()
    """Newer checkpoints that cannot be used, and why."""

    @property
    def is_best_later(self) -> bool:
        """Say whether the run's best validation came after this checkpoint.

        Its weights, in `best_model.pth`, are then none of the resumed run's.
        """
        rows = [row for row in read_numbers(self.output_dir / METRICS_CSV) if "val/JF" in row]
        best = max(
            rows,
            key=lambda row: max(row["val/JF"], row.get("val_ema/JF", -math.inf)),
            default=None,
        )
        return best is not None and best["step"] > self.step


def read_resume(resume: str) -> Resume:
    """Read the checkpoint that `--resume` names: a `.ckpt`, or the newest whole one of a run.

    Raises:
        FileNotFoundError: there is no checkpoint.
        ValueError: the file is no training state of ours, or all of them are damaged.
    """
    path, output_dir = find_resume(resume)
    faults: list[str] = []
    if Path(resume).is_dir():
        path, faults = _newest_whole(output_dir)
    try:
        content: Any = read_pickle(path, is_mapped=True)
        fault = find_fault(path)
        if fault is not None:
            raise ValueError(f"{path}: damaged ({fault})")
    except ValueError as error:
        raise ValueError(
            f"resume: {error}; give another .ckpt of the run, or its folder: the newest whole one "
            "is then taken"
        ) from error
    if not isinstance(content, Mapping) or not {"loops", "optimizer_states"} <= set(content):
        has_state = (output_dir / CHECKPOINTS / LAST).is_file()
        raise ValueError(
            f"resume: {path} holds weights and no training state; to start a new run from them "
            "give --model-checkpoint in place of --resume"
            + (f", to continue their run give --resume {output_dir}" if has_state else "")
        )
    try:
        return _to_resume(content, path, output_dir, faults)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(
            f"resume: {path} is no training state of ours ({type(error).__name__}: {error}); give "
            "another .ckpt of the run"
        ) from error


def _to_resume(content: Any, path: Path, output_dir: Path, faults: Sequence[str]) -> Resume:  # noqa: ANN401
    """Return what a training state says; other errors than ValueError where it is none."""
    state = content["optimizer_states"][0]
    if not all("param_names" in group for group in state["param_groups"]):
        raise ValueError(
            f"resume: {path} does not name what it has trained: an earlier version wrote it; for a "
            "new run from its weights give --model-checkpoint in place of --resume"
        )
    return Resume(
        checkpoint=path,
        output_dir=output_dir,
        step=int(content["global_step"]),
        num_epochs=content["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"],
        shapes={name: tuple(value.shape) for name, value in content["state_dict"].items()},
        trained=frozenset(named_indices(state)),
        damaged=tuple(faults),
    )


def _newest_whole(output_dir: Path) -> tuple[Path, list[str]]:
    """Return the newest state whose checksums are right, and what is wrong with newer ones."""
    faults: list[str] = []
    for path in list_states(output_dir):
        fault = find_fault(path)
        if fault is None:
            return path, faults
        faults.append(f"{path} ({fault})")
    raise ValueError(
        f"resume: every checkpoint of {output_dir} is damaged: {'; '.join(faults)}. Is "
        "the disk failing? Start again with another --output-dir, or from the best weights: "
        f"--model-checkpoint {output_dir / CHECKPOINTS / BEST}"
    )


def check_resume(resume: Resume, tuner: MemoryTuner, settings: TrainerConfig) -> None:
    """Refuse a checkpoint of another network, of other trainable parts, or of a finished run.

    Raises:
        ValueError: says which, and the way out.
    """
    own = {name: tuple(value.shape) for name, value in tuner.state_dict().items()}
    if own != resume.shapes:
        different = sorted(
            name
            for name in own.keys() | resume.shapes.keys()
            if own.get(name) != resume.shapes.get(name)
        )
        raise ValueError(
            f"resume: {resume.checkpoint} is of another network ({len(different)} weights differ, "
            f"such as {different[0]}), or has other adapters; resume with the run's own config.yaml"
        )
    trained = {name for name, p in tuner.model.network.named_parameters() if p.requires_grad}
    if trained != resume.trained:
        raise ValueError(
            f"resume: {resume.checkpoint} has trained {len(resume.trained)} weights, and "
            f"model.trainable_modules now names {len(trained)}, "
            f"{len(trained & resume.trained)} of them the same; a resumed run trains the same "
            "ones. For a new run from these weights give the file as --model-checkpoint"
        )
    is_done = resume.num_epochs >= settings.max_epochs or 0 < settings.max_steps <= resume.step
    if is_done and is_finished(resume.output_dir):
        raise ValueError(
            f"resume: {resume.output_dir} is done after {resume.num_epochs} epochs and "
            f"{resume.step} steps; to train on, give a larger --max-epochs (or trainer.max_steps)"
        )
