"""A training run from its configuration to its finished folder."""

import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl
from lightning.pytorch.callbacks import (
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
    RichProgressBar,
)
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.strategies import DDPStrategy
from loguru import logger

from sam2_video.config import TrainConfig
from sam2_video.configuration import save
from sam2_video.data.datamodule import ClipDataModule
from sam2_video.model.sam2 import SAM2Model
from sam2_video.training import folder, messages, pictures
from sam2_video.training.callbacks import (
    BestWeights,
    NonFiniteGuard,
    RandomStates,
    StopOnSignal,
    Throughput,
    TrainingInterruptedError,
    peak_memory_gb,
)
from sam2_video.training.machine import choose_precision, describe_machine, resolve_accelerator
from sam2_video.training.metrics_log import MetricsCsv
from sam2_video.training.trainer import MemoryTuner


@dataclass(frozen=True)
class TrainResult:
    """What a run came to. J is the mean over objects of whole validation videos.

    `before` is J with the weights that training started from; None where nothing was validated.
    """

    output_dir: Path
    best_model: Path
    before: float | None
    best: float | None
    last: float | None
    is_finished: bool


def train(config: TrainConfig) -> TrainResult:
    """Train as configured and write the run's folder.

    Raises:
        ValueError: a setting, a checkpoint or the data cannot be used; says which and why.
        FileNotFoundError: a file is missing.
        NonFiniteLossError: the loss stopped being a number; the batch is saved.
    """
    checkpoint, output_dir = None, Path(config.output_dir)
    if config.resume is not None:
        checkpoint, output_dir = folder.find_resume(config.resume)
    elif folder.is_main_process():
        folder.claim(output_dir)
    log_sinks = messages.open_log(output_dir, config.debug)
    try:
        return _run(config, output_dir, checkpoint)
    finally:
        messages.close_log(log_sinks)


def _run(config: TrainConfig, output_dir: Path, checkpoint: Path | None) -> TrainResult:
    accelerator = resolve_accelerator(config.trainer.accelerator)
    precision = choose_precision(config.trainer.precision, accelerator)
    pl.seed_everything(config.seed, workers=True, verbose=False)
    model = _load_model(config)
    datamodule = ClipDataModule(
        config.dataset, config.seed, config.trainer.validation_videos, debug=config.debug
    )
    datamodule.setup()
    messages.describe_data(datamodule, model.image_size)
    if folder.is_main_process() and checkpoint is None:
        save(config, output_dir / folder.CONFIG)
    tuner = MemoryTuner(
        model,
        config.losses,
        config.prompts,
        config.trainer,
        config.model.truncate_memory_gradient,
    )
    tuner.keep_frames = pictures.choose_frames(datamodule.val_videos)
    table = MetricsCsv(
        output_dir / folder.METRICS_CSV, None if checkpoint is None else _step_of(checkpoint)
    )
    best = BestWeights(output_dir / folder.BEST)
    speed = Throughput()
    trainer = _build_trainer(
        config, accelerator, precision, output_dir, table, [best, speed], datamodule
    )
    start = time.monotonic()
    if checkpoint is None:
        trainer.validate(tuner, datamodule=datamodule, verbose=False)
        pictures.keep_before(output_dir, tuner.scores)
    is_finished = True
    try:
        trainer.fit(
            tuner,
            datamodule=datamodule,
            ckpt_path=None if checkpoint is None else str(checkpoint),
            weights_only=True,
        )
    except TrainingInterruptedError as stop:
        logger.warning(f"{stop}; go on with --resume {output_dir}")
        is_finished = False
    if not trainer.is_global_zero:
        return TrainResult(output_dir, best.path, None, best.best, None, is_finished)
    table.save()
    values = [row["val/J"] for row in table.rows if not math.isnan(row.get("val/J", math.nan))]
    result = TrainResult(
        output_dir=output_dir,
        best_model=best.path,
        before=values[0] if values else None,
        best=best.best,
        last=values[-1] if values else None,
        is_finished=is_finished,
    )
    _write_summary(config, result, table, tuner, speed, precision, time.monotonic() - start)
    pictures.draw(output_dir, table.rows, datamodule.val_videos, tuner.scores)
    messages.conclude(result)
    return result


def _load_model(config: TrainConfig) -> SAM2Model:
    height, width = config.dataset.image_size
    model = SAM2Model.load(
        config.model.checkpoint_path,
        config.model.config_path,
        (height, width),
        config.model.memory_attention_dropout,
        config.seed,
    )
    model.set_trainable(config.model.trainable_modules)
    messages.describe_model(model)
    model.train()
    return model


def _step_of(checkpoint: Path) -> int:
    """Return the optimisation step at which a checkpoint was written."""
    import torch

    content = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    return int(content["global_step"])


def _build_trainer(
    config: TrainConfig,
    accelerator: str,
    precision: str,
    output_dir: Path,
    table: MetricsCsv,
    callbacks: list[pl.Callback],
    datamodule: ClipDataModule,
) -> pl.Trainer:
    settings = config.trainer
    has_validation = bool(datamodule.val_videos)
    callbacks = [*callbacks, *_checkpoint_callbacks(config, output_dir, has_validation)]
    devices = 1 if settings.devices == "auto" and accelerator == "cpu" else settings.devices
    is_single = devices in (1, "1") and settings.num_nodes == 1
    minutes = settings.max_time_minutes
    return pl.Trainer(
        accelerator=accelerator,
        devices=devices,
        num_nodes=settings.num_nodes,
        # which parameters get a gradient depends on the prompts that were drawn
        strategy="auto" if is_single else DDPStrategy(find_unused_parameters=True),
        precision=precision,  # pyright: ignore[reportArgumentType]
        max_epochs=settings.max_epochs,
        max_steps=settings.max_steps,
        max_time=None if minutes is None else {"seconds": math.ceil(minutes * 60)},
        gradient_clip_val=settings.gradient_clip or None,
        accumulate_grad_batches=settings.accumulate,
        check_val_every_n_epoch=settings.validate_every,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        detect_anomaly=config.debug,
        # the metric that adds up over validations would become an inference tensor
        inference_mode=False,
        use_distributed_sampler=False,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
        callbacks=callbacks,
        logger=_loggers(config, output_dir, table),
        default_root_dir=output_dir,
    )


def _checkpoint_callbacks(
    config: TrainConfig, output_dir: Path, has_validation: bool
) -> list[pl.Callback]:
    settings = config.trainer
    checkpoint_dir = output_dir / folder.CHECKPOINTS
    callbacks: list[pl.Callback] = [
        RandomStates(),
        NonFiniteGuard(output_dir / "failed_batch.pt"),
        StopOnSignal(checkpoint_dir),
        LearningRateMonitor(logging_interval="step"),
        ModelCheckpoint(
            checkpoint_dir,
            # no metric in the name: val/J would make folders
            filename="epoch_{epoch:03d}",
            auto_insert_metric_name=False,
            monitor="epoch",
            mode="max",
            save_top_k=settings.keep_checkpoints,
            every_n_epochs=settings.save_every,
            save_on_train_epoch_end=True,
            save_last=True,
            enable_version_counter=False,
        ),
    ]
    if sys.stderr.isatty():
        callbacks.append(RichProgressBar())
    if settings.early_stopping is not None and has_validation:
        callbacks.append(EarlyStopping("val/J", mode="max", patience=settings.early_stopping))
    return callbacks


def _loggers(config: TrainConfig, output_dir: Path, table: MetricsCsv) -> list[Logger]:
    loggers: list[Logger] = [
        table,
        TensorBoardLogger(str(output_dir), name="", version="tensorboard"),
    ]
    if config.use_wandb:
        reason = messages.why_no_wandb()
        if reason is None:
            loggers.append(WandbLogger(project=config.wandb_project, save_dir=str(output_dir)))
        else:
            logger.warning(f"use_wandb: {reason}; logging to TensorBoard and metrics.csv")
    return loggers


def _write_summary(
    config: TrainConfig,
    result: TrainResult,
    table: MetricsCsv,
    tuner: MemoryTuner,
    speed: Throughput,
    precision: str,
    seconds: float,
) -> None:
    parameters = list(tuner.model.parameters())
    final: dict[str, float] = {}
    for row in table.rows:
        final |= row
    folder.write_json(
        result.output_dir / folder.SUMMARY,
        {
            "is_finished": result.is_finished,
            "val/J": {"before": result.before, "best": result.best, "last": result.last},
            "final": final,
            "steps": tuner.trainer.global_step,
            "epochs": tuner.trainer.current_epoch,
            "seconds": seconds,
            "training_seconds": speed.seconds,
            "clips_per_second": speed.num_clips / speed.seconds if speed.seconds else None,
            "peak_memory_gb": peak_memory_gb(),
            "precision": precision,
            "parameters": sum(p.numel() for p in parameters),
            "trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
            "seed": config.seed,
            "machine": describe_machine(),
        },
    )
