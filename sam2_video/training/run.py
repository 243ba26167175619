"""A training run from its configuration to its finished folder."""

import atexit
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import lightning.pytorch as pl
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.strategies import DDPStrategy
from loguru import logger

from sam2_video.config import TrainConfig
from sam2_video.configuration import save
from sam2_video.data.datamodule import ClipDataModule
from sam2_video.report import write_report
from sam2_video.training import folder, messages
from sam2_video.training.callbacks import BestWeights, NonFiniteGuard, StepLog, StopAtLimit
from sam2_video.training.checkpoints import Checkpoints, StopOnSignal, TrainingInterruptedError
from sam2_video.training.loggers import open_loggers
from sam2_video.training.machine import (
    choose_precision,
    count_devices,
    end_other_processes,
    has_failed_process,
    resolve_accelerator,
)
from sam2_video.training.metrics_log import MetricsCsv
from sam2_video.training.picture_files import without_harm
from sam2_video.training.pictures import Pictures
from sam2_video.training.prepare import load_tuner, open_data
from sam2_video.training.progress import EpochLines, RunBar, TimeLeft
from sam2_video.training.resume import Resume, check_resume, read_resume
from sam2_video.training.score_files import ScoreFiles
from sam2_video.training.summary import TrainResult, make_result, write_summary
from sam2_video.training.trainer import MemoryTuner, NonFiniteLossError


@dataclass(frozen=True)
class _Records:
    """What a run keeps of itself while it goes on."""

    table: MetricsCsv
    best: BestWeights
    steps: StepLog
    pictures: Pictures | None


def train(config: TrainConfig) -> TrainResult:
    """Train as configured and write the run's folder.

    Raises:
        ValueError: a setting, a checkpoint or the data cannot be used, or the folder cannot be
            written; says which and why.
        FileNotFoundError: a file is missing.
        NonFiniteLossError: the loss stopped being a number; the batch is saved.
    """
    resume = None if config.resume is None else read_resume(config.resume)
    output_dir = Path(config.output_dir) if resume is None else resume.output_dir
    with messages.RunLog(config.debug) as log, messages.without_noise(is_debug=config.debug):
        if Path(config.output_dir).absolute() != output_dir.absolute():
            logger.info(
                f"output_dir: a resumed run goes on in {output_dir}, not in {config.output_dir}"
            )
        config = replace(config, resume=None, output_dir=str(output_dir))
        try:
            if resume is None and folder.is_main_process():
                folder.check_free(output_dir)
            return _run(config, output_dir, resume, log)
        except NonFiniteLossError:
            if folder.is_main_process():
                raise
            # the main process tells what happened in all of them
            sys.exit(0)
        except OSError as error:
            told = folder.cannot_write(error, output_dir)
            if told is None:
                raise
            raise told from error


def _run(
    config: TrainConfig, output_dir: Path, resume: Resume | None, log: messages.RunLog
) -> TrainResult:
    start = time.monotonic()
    accelerator = resolve_accelerator(config.trainer.accelerator)
    num_devices = count_devices(config.trainer.devices, accelerator)
    precision = choose_precision(config.trainer.precision, accelerator)
    pl.seed_everything(config.seed, workers=True, verbose=False)
    tuner = load_tuner(config, None if resume is None else resume.checkpoint)
    datamodule = open_data(config)
    if resume is not None:
        check_resume(resume, tuner, config.trainer)
    # not before everything that is given has proved usable: a failed start leaves no folder
    if folder.is_main_process():
        _open_folder(config, output_dir, resume, log)

    first_step = None if resume is None else resume.step
    records = _open_records(config, output_dir, datamodule, resume)
    has_validation = bool(datamodule.val_videos)
    wandb_project = config.wandb_project if config.use_wandb else None
    trainer = pl.Trainer(
        accelerator=accelerator,
        devices=num_devices,
        num_nodes=config.trainer.num_nodes,
        strategy=_strategy(num_devices * config.trainer.num_nodes),
        precision=precision,  # pyright: ignore[reportArgumentType]
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
        callbacks=_callbacks(config, output_dir, records, datamodule),
        logger=open_loggers(output_dir, records.table, first_step, wandb_project),
        default_root_dir=output_dir,
    )
    if trainer.is_global_zero and records.pictures is not None and resume is None:
        records.pictures.draw_data(tuner.model.image_size)
    is_finished = _fit(trainer, tuner, datamodule, records.best, resume)
    result = make_result(output_dir, records.table, records.best, is_finished=is_finished)
    if trainer.is_global_zero:
        facts = {"precision": precision, "devices": trainer.world_size, "seed": config.seed}
        facts["seconds"] = time.monotonic() - start
        _finish(result, tuner, records, facts)
    return result


def _open_records(
    config: TrainConfig, output_dir: Path, datamodule: ClipDataModule, resume: Resume | None
) -> _Records:
    best = BestWeights(
        output_dir / folder.CHECKPOINTS / folder.BEST,
        is_file_later=resume is not None and resume.is_best_later,
    )
    every, is_resumed = config.trainer.pictures_every, resume is not None
    return _Records(
        MetricsCsv(output_dir / folder.METRICS_CSV, None if resume is None else resume.step),
        best,
        StepLog(),
        Pictures(output_dir, every, datamodule, config.prompts, best, is_resumed=is_resumed)
        if every
        else None,
    )


def _open_folder(
    config: TrainConfig, output_dir: Path, resume: Resume | None, log: messages.RunLog
) -> None:
    if resume is None:
        folder.claim(output_dir)
    else:
        # it tells of the run's end before this one's
        (output_dir / folder.SUMMARY).unlink(missing_ok=True)
        logger.info(f"going on at step {resume.step} from {resume.checkpoint}")
    save(config, output_dir / folder.CONFIG)
    log.open_file(output_dir)


def _strategy(num_processes: int) -> str | DDPStrategy:
    # which parameters get a gradient depends on the prompts that were drawn
    return "auto" if num_processes == 1 else DDPStrategy(find_unused_parameters=True)


def _has_terminal() -> bool:
    return sys.stderr.isatty() and folder.is_main_process()


def _callbacks(
    config: TrainConfig, output_dir: Path, records: _Records, datamodule: ClipDataModule
) -> list[pl.Callback]:
    settings = config.trainer
    checkpoints = Checkpoints(
        output_dir / folder.CHECKPOINTS,
        settings.save_every,
        settings.keep_checkpoints,
        records.table,
    )
    time_left = TimeLeft(settings.max_steps, settings.max_time_minutes)
    callbacks: list[pl.Callback] = [
        records.best,
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
                "val/JF",
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
) -> bool:
    """Validate, train and validate; return whether nobody asked to stop."""
    has_validation = bool(datamodule.val_videos)
    checkpoint = None if resume is None else str(resume.checkpoint)
    try:
        if has_validation and resume is None:
            trainer.validate(tuner, datamodule=datamodule, verbose=False)
        trainer.fit(tuner, datamodule=datamodule, ckpt_path=checkpoint, weights_only=True)
        messages.describe_end(trainer)
        if has_validation and tuner.validated_step != trainer.global_step:
            trainer.validate(tuner, datamodule=datamodule, verbose=False)
    except TrainingInterruptedError as stop:
        messages.describe_stop(str(stop), Path(trainer.default_root_dir))
        return False
    except BaseException as error:
        atexit.register(end_other_processes, trainer)
        if isinstance(error, RuntimeError) and has_failed_process(trainer):
            raise ValueError("another process of this run failed; its error is above") from error
        raise
    if best.best is None:
        best.write(trainer, tuner)
    return True


def _finish(
    result: TrainResult, tuner: MemoryTuner, records: _Records, facts: dict[str, object]
) -> None:
    records.table.save_table()
    write_summary(result, records.table, tuner, records.best, records.steps, facts)
    if records.pictures is not None:
        records.pictures.finish(tuner.trainer, records.table.rows)
    # before the report, which tells the log's warnings
    messages.conclude(result)
    with without_harm(folder.REPORT):
        logger.info(f"report: {write_report(result.output_dir)}")
