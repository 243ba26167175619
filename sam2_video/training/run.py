"""A training run from its configuration to its finished folder."""

import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import lightning.pytorch as pl
import torch
from loguru import logger

from sam2_video.config import TrainConfig
from sam2_video.configuration import save
from sam2_video.files import remove_parts
from sam2_video.model.compilation import compile_parts
from sam2_video.training import folder, messages
from sam2_video.training.attempt import Setup, attempt, open_records
from sam2_video.training.batch_size import choose_batch_size, find_device
from sam2_video.training.features import Machine, open_features
from sam2_video.training.machine import choose_precision, count_devices, resolve_accelerator
from sam2_video.training.non_finite import NonFiniteLossError
from sam2_video.training.out_of_memory import OutOfMemoryError, attempt_with_less
from sam2_video.training.prepare import (
    check_single_frames_teach,
    load_tuner,
    open_data,
    warn_of_decay,
)
from sam2_video.training.resume import Resume, check_resume, read_resume
from sam2_video.training.run_lock import RunLock
from sam2_video.training.skipped import TooManyBadSamplesError
from sam2_video.training.summary import TrainResult


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
    with (
        messages.RunLog(config.debug) as log,
        messages.without_noise(is_debug=config.debug),
        RunLock(output_dir) as lock,
    ):
        if Path(config.output_dir).absolute() != output_dir.absolute():
            logger.info(
                f"output_dir: a resumed run goes on in {output_dir}, not in {config.output_dir}"
            )
        config = replace(config, resume=None, output_dir=str(output_dir))
        try:
            if resume is None and folder.is_main_process():
                folder.check_free(output_dir)
            return _run(config, resume, log, lock)
        except (NonFiniteLossError, OutOfMemoryError, TooManyBadSamplesError) as error:
            is_here_alone = isinstance(error, OutOfMemoryError) and not error.is_everywhere
            if folder.is_main_process() or is_here_alone:
                raise
            # the main process tells what happened in all of them
            sys.exit(0)
        except (OSError, RuntimeError) as error:
            told = folder.explain(error, output_dir)
            if told is None:
                raise
            raise told from error


def _run(
    config: TrainConfig, resume: Resume | None, log: messages.RunLog, lock: RunLock
) -> TrainResult:
    begun = time.monotonic()
    output_dir = Path(config.output_dir)
    accelerator = resolve_accelerator(config.trainer.accelerator)
    num_devices = count_devices(config.trainer.devices, accelerator)
    precision = choose_precision(config.trainer.precision, accelerator)
    pl.seed_everything(config.seed, workers=True, verbose=False)
    tuner = load_tuner(config, None if resume is None else resume.checkpoint)
    datamodule = open_data(config)
    check_single_frames_teach(config, tuner.model, datamodule)
    if resume is not None:
        check_resume(resume, tuner, config.trainer)
    if config.dataset.feature_cache is not None:
        machine = Machine(accelerator, num_devices, precision)
        open_features(config, tuner.model, datamodule, machine)
    # after frames were encoded for the cache, which other runs read too
    device = find_device(accelerator) or torch.device(accelerator)
    compiler = compile_parts(tuner.model.network, config.trainer.compile, device)
    if compiler is not None:
        warn_of_decay(config, tuner.model)
    num_processes = num_devices * config.trainer.num_nodes
    config = choose_batch_size(
        config, tuner.model, datamodule, accelerator, precision, num_processes
    )
    # not before everything that is given has proved usable: a failed start leaves no folder
    if folder.is_main_process():
        lock.take()
        _open_folder(config, output_dir, resume, log)
    setup = Setup(
        output_dir,
        resume,
        tuner,
        {n: p.detach().clone() for n, p in tuner.model.named_parameters() if p.requires_grad},
        datamodule,
        open_records(config, output_dir, datamodule, resume),
        {"accelerator": accelerator, "devices": num_devices, "precision": precision},
        lock,
        compiler,
        begun,
    )
    return attempt_with_less(partial(attempt, setup), config)


def _open_folder(
    config: TrainConfig, output_dir: Path, resume: Resume | None, log: messages.RunLog
) -> None:
    if resume is None:
        # again, now that no other run can begin there
        folder.check_free(output_dir)
        folder.claim(output_dir)
    else:
        # what a killed process has left unfinished
        remove_parts(output_dir)
        remove_parts(output_dir / folder.CHECKPOINTS)
        for fault in resume.damaged:
            logger.warning(f"resume: {fault} is damaged; the one before it is used")
        # it tells of the run's end before this one's
        (output_dir / folder.SUMMARY).unlink(missing_ok=True)
        logger.info(f"going on at step {resume.step} from {resume.checkpoint}")
    save(config, output_dir / folder.CONFIG)
    log.open_file(output_dir)
