"""One attempt at a run's training: what is around it, before it and after it."""

import atexit
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.strategies import DDPStrategy
from loguru import logger
from torch import Tensor

from sam2_video.config import TrainConfig
from sam2_video.configuration import save
from sam2_video.data.datamodule import ClipDataModule
from sam2_video.model.compilation import Compiler
from sam2_video.report import write_report
from sam2_video.training import folder, messages
from sam2_video.training.batch_size import SameBatchSize
from sam2_video.training.callbacks import (
    Averaging,
    BestWeights,
    NonFiniteGuard,
    StepLog,
    StopAtLimit,
)
from sam2_video.training.checkpoints import Checkpoints
from sam2_video.training.loggers import open_loggers
from sam2_video.training.machine import end_other_processes, has_failed_process
from sam2_video.training.metrics_log import MetricsCsv
from sam2_video.training.out_of_memory import MemoryGuard, SharedShortageError
from sam2_video.training.picture_files import without_harm
from sam2_video.training.pictures import Pictures
from sam2_video.training.prepare import make_tuner
from sam2_video.training.progress import EpochLines, RunBar, TimeLeft
from sam2_video.training.resume import Resume
from sam2_video.training.run_lock import FolderGuard, RunLock
from sam2_video.training.score_files import ScoreFiles
from sam2_video.training.skipped import SkippedClips
from sam2_video.training.state_file import StateFiles
from sam2_video.training.stopping import StopOnSignal, TrainingInterruptedError
from sam2_video.training.summary import TrainResult, make_result, write_summary
from sam2_video.training.trainer import BETTER, MemoryTuner


@dataclass(frozen=True)
class Records:
    """What a run keeps of itself while it goes on."""

    table: MetricsCsv
    best: BestWeights
    steps: StepLog
    skipped: SkippedClips
    pictures: Pictures | None


@dataclass(frozen=True)
class Setup:
    """What a run has before its first attempt; `start` is what learns, as it was then."""

    output_dir: Path
    resume: Resume | None
    tuner: MemoryTuner
    start: dict[str, Tensor]
    datamodule: ClipDataModule
    records: Records
    devices: dict[str, Any]
    lock: RunLock
    compiler: Compiler | None
    begun: float

    @property
    def first_step(self) -> int:
        """Return the step from which the run goes on."""
        return 0 if self.resume is None else self.resume.step


def open_records(
    config: TrainConfig, output_dir: Path, datamodule: ClipDataModule, resume: Resume | None
) -> Records:
    """Return the records of a new or a resumed run."""
    best = BestWeights(
        output_dir / folder.CHECKPOINTS / folder.BEST,
        is_file_later=resume is not None and resume.is_best_later,
    )
    every, is_resumed = config.trainer.pictures_every, resume is not None
    return Records(
        MetricsCsv(output_dir / folder.METRICS_CSV, None if resume is None else resume.step),
        best,
        StepLog(),
        _skipped(config),
        Pictures(output_dir, every, datamodule, config.prompts, best, is_resumed=is_resumed)
        if every
        else None,
    )


def _skipped(config: TrainConfig) -> SkippedClips:
    is_skipping = config.dataset.on_bad_sample == "skip"
    return SkippedClips(config.dataset.max_bad_samples if is_skipping else None)


def attempt(setup: Setup, config: TrainConfig, guard: MemoryGuard, is_again: bool) -> TrainResult:
    """Train from the start of the run, which another attempt may have left behind."""
    output_dir, resume, datamodule = setup.output_dir, setup.resume, setup.datamodule
    tuner, records = _begin_again(setup, config) if is_again else (setup.tuner, setup.records)
    has_validation = bool(datamodule.val_videos)
    wandb_project = config.wandb_project if config.use_wandb else None
    first_step = setup.first_step if resume is not None or is_again else None
    trainer = pl.Trainer(
        **setup.devices,
        num_nodes=config.trainer.num_nodes,
        strategy=_strategy(setup.devices["devices"] * config.trainer.num_nodes),
        max_epochs=config.trainer.max_epochs,
        accumulate_grad_batches=config.trainer.accumulate,
        check_val_every_n_epoch=config.trainer.validate_every,
        limit_val_batches=None if has_validation else 0,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        detect_anomaly=config.debug,
        # the metric that adds up over validations would become an inference tensor
        inference_mode=False,
        use_distributed_sampler=False,
        enable_model_summary=False,
        enable_progress_bar=_has_terminal(),
        callbacks=[
            FolderGuard(setup.lock, records.table),
            SameBatchSize(config, datamodule),
            *_callbacks(config, output_dir, records, datamodule),
            guard,
        ],
        logger=open_loggers(output_dir, records.table, first_step, wandb_project),
        default_root_dir=output_dir,
        plugins=[StateFiles(None if resume is None else resume.checkpoint)],
    )
    if is_again and records.table.rows:
        # a new file of TensorBoard hides what an older one says of this step and later ones
        for log in trainer.loggers[1:]:
            log.log_metrics(records.table.rows[-1], step=setup.first_step)
    is_first = resume is None and not is_again
    if trainer.is_global_zero and records.pictures is not None and is_first:
        records.pictures.draw_data(tuner.model.image_size)
    stopped_by = _fit(trainer, tuner, datamodule, records.best, resume, is_first=is_first)
    result = make_result(output_dir, records.table, records.best, stopped_by)
    if trainer.is_global_zero:
        facts = {
            "precision": setup.devices["precision"],
            "devices": trainer.world_size,
            "seed": config.seed,
            **records.skipped.summary(),
            "compiled": None if setup.compiler is None else setup.compiler.summary(),
            "seconds": time.monotonic() - setup.begun,
        }
        _finish(result, tuner, records, facts)
    return result


def _begin_again(setup: Setup, config: TrainConfig) -> tuple[MemoryTuner, Records]:
    """Return the start of a run whose first epoch has failed; its first validation still counts."""
    # with the batch size on which processes have agreed
    config = replace(config, dataset=setup.datamodule.config)
    if folder.is_main_process():
        save(config, setup.output_dir / folder.CONFIG)
    model, begun = setup.tuner.model, setup.tuner
    # with its optimiser's state
    begun.trainer = None
    model.zero_grad()
    model.load_state_dict(setup.start, strict=False)
    tuner = make_tuner(config, model)
    tuner.validated_step = begun.validated_step
    pl.seed_everything(config.seed, workers=True, verbose=False)
    table = MetricsCsv(setup.output_dir / folder.METRICS_CSV, setup.first_step)
    return tuner, replace(setup.records, table=table, steps=StepLog(), skipped=_skipped(config))


def _strategy(num_processes: int) -> str | DDPStrategy:
    # which parameters get a gradient depends on the prompts that were drawn
    return "auto" if num_processes == 1 else DDPStrategy(find_unused_parameters=True)


def _has_terminal() -> bool:
    return sys.stderr.isatty() and folder.is_main_process()


def _callbacks(
    config: TrainConfig, output_dir: Path, records: Records, datamodule: ClipDataModule
) -> list[pl.Callback]:
    settings = config.trainer
    checkpoints = Checkpoints(
        output_dir / folder.CHECKPOINTS,
        settings.save_every,
        settings.keep_checkpoints,
        settings.save_every_minutes,
        records.table,
    )
    time_left = TimeLeft(settings.max_steps, settings.max_time_minutes)
    callbacks: list[pl.Callback] = [
        Averaging(),
        records.best,
        records.skipped,
        NonFiniteGuard(output_dir),
        records.steps,
        time_left,
        StopAtLimit(settings.max_steps, settings.max_time_minutes),
        ScoreFiles(output_dir, datamodule.val_videos, records.best),
        *([] if records.pictures is None else [records.pictures]),
        checkpoints,
    ]
    if _has_terminal():
        callbacks.append(RunBar(time_left))
    if settings.early_stopping is not None and datamodule.val_videos:
        callbacks.append(
            EarlyStopping(
                "val/JF" if settings.ema_decay is None else BETTER,
                mode="max",
                patience=settings.early_stopping,
                # a validation without a single scored frame is none, and no reason to stop
                check_finite=False,
                check_on_train_epoch_end=False,
            )
        )
    # after all that belongs to a step, so that none of it is left undone when it stops
    callbacks.append(StopOnSignal(checkpoints))
    return [*callbacks, EpochLines(records.table, records.best, time_left)]


def _fit(
    trainer: pl.Trainer,
    tuner: MemoryTuner,
    datamodule: ClipDataModule,
    best: BestWeights,
    resume: Resume | None,
    *,
    is_first: bool,
) -> int | None:
    """Validate, train and validate; return the signal by which somebody asked to stop, if any."""
    has_validation = bool(datamodule.val_videos)
    checkpoint = None if resume is None else str(resume.checkpoint)
    try:
        if has_validation and is_first:
            trainer.validate(tuner, datamodule=datamodule, verbose=False)
        trainer.fit(tuner, datamodule=datamodule, ckpt_path=checkpoint, weights_only=True)
        messages.describe_end(trainer)
        if has_validation and tuner.validated_step != trainer.global_step:
            trainer.validate(tuner, datamodule=datamodule, verbose=False)
    except TrainingInterruptedError as stop:
        messages.describe_stop(str(stop), Path(trainer.default_root_dir))
        return stop.number
    except BaseException as error:
        if trainer.world_size > 1:
            atexit.register(end_other_processes, trainer)
        is_own = not isinstance(error, RuntimeError) or isinstance(error, SharedShortageError)
        if not is_own and has_failed_process(trainer):
            raise ValueError("another process of this run failed; its error is above") from error
        raise
    if best.best is None:
        best.write(trainer, tuner)
    return None


def _finish(
    result: TrainResult, tuner: MemoryTuner, records: Records, facts: dict[str, object]
) -> None:
    records.table.save_table()
    write_summary(result, records.table, tuner, records.best, records.steps, facts)
    if records.pictures is not None:
        records.pictures.finish(tuner.trainer, records.table.rows)
    # before the report, which tells the log's warnings
    messages.conclude(result)
    told = set() if records.pictures is None else records.pictures.told
    with without_harm(folder.REPORT, told):
        logger.info(f"report: {write_report(result.output_dir)}")
