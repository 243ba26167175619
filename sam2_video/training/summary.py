"""What a run came to: the result for Python, and `training_metrics.json`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam2_video.files import write_json
from sam2_video.training.callbacks import BestWeights, StepLog, peak_memory_gb
from sam2_video.training.folder import SUMMARY
from sam2_video.training.machine import describe_machine
from sam2_video.training.metrics_log import MetricsCsv
from sam2_video.training.trainer import AVERAGED, VALIDATED, MemoryTuner


@dataclass(frozen=True)
class TrainResult:
    """What a run came to, as J&F: the mean over the objects of whole validation videos.

    `before` is zero-shot, the weights that training started from; None where nothing was validated.
    `is_finished` is False where the run was asked to stop and can be resumed, `stopped_by` is then
    the number of the signal, and `is_best_averaged` is True where `best_model` holds averaged
    weights.
    """

    output_dir: Path
    best_model: Path
    before: float | None
    best: float | None
    last: float | None
    is_finished: bool
    is_best_averaged: bool = False
    stopped_by: int | None = None


def make_result(
    output_dir: Path, table: MetricsCsv, best: BestWeights, stopped_by: int | None = None
) -> TrainResult:
    """Return the result of a run."""
    values = {row["step"]: row["val/JF"] for row in table.rows if "val/JF" in row}
    return TrainResult(
        output_dir=output_dir,
        best_model=best.path,
        before=values.get(0),
        best=best.best,
        last=values[max(values)] if values else None,
        is_finished=stopped_by is None,
        is_best_averaged=best.is_averaged,
        stopped_by=stopped_by,
    )


def write_summary(
    result: TrainResult,
    table: MetricsCsv,
    tuner: MemoryTuner,
    best: BestWeights,
    steps: StepLog,
    settings: dict[str, Any],
) -> None:
    """Write `training_metrics.json`; `settings` are values of this run that stand as they are."""

    def is_best_averaged(when: str) -> bool:
        return when == "best" and best.is_averaged

    parameters = list(tuner.model.parameters())
    final: dict[str, float] = {}
    for row in table.rows:
        final |= row
    validated = {int(row["step"]): row for row in table.rows if "val/JF" in row}
    steps_of = {"before": 0, "best": best.best_step, "last": max(validated, default=None)}
    write_json(
        result.output_dir / SUMMARY,
        {
            "is_finished": result.is_finished,
            **{
                name: {
                    when: validated.get(step, {}).get(averaged if is_best_averaged(when) else name)
                    for when, step in steps_of.items()
                }
                | {"best_step": best.best_step}
                for name, averaged in zip(VALIDATED, AVERAGED, strict=True)
            },
            "best_weights": "averaged" if best.is_averaged else "raw",
            "final": final,
            "steps": tuner.trainer.global_step,
            "epochs": tuner.trainer.current_epoch,
            "training_seconds": steps.seconds,
            "clips_per_second": steps.clips_per_second,
            "loader_clips_per_second": steps.loader_clips_per_second,
            "waiting_for_data": steps.waiting_share,
            "peak_memory_gb": peak_memory_gb(),
            "parameters": sum(p.numel() for p in parameters),
            "trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
            **settings,
            "machine": describe_machine(),
        },
    )
