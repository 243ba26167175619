"""What a run tells its user: the log, the table of what learns, the data, the outcome."""

import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping
from loguru import logger
from rich.console import Console
from rich.table import Table

from sam2_video.config import TrainerConfig
from sam2_video.data.datamodule import ClipDataModule
from sam2_video.model.sam2 import SAM2Model
from sam2_video.model.trainable import summarise
from sam2_video.training import folder
from sam2_video.training.parameter_groups import ParameterGroup
from sam2_video.training.summary import TrainResult

NATIVE_SIDE = 1024
TERMINAL_FORMAT = "<level>{level: <7}</level> {message}"
FILE_FORMAT = "{time:YYYY-MM-DD HH:mm:ss} {level: <7} {message}"
NOISE = (
    # frozen modules are in eval mode on purpose
    r".*module\(s\) in eval mode at the start of training",
    # inside Lightning
    r".*LeafSpec.*is deprecated",
    # dataset.num_workers is chosen by the number of cores
    r".*does not have many workers",
    # prompts decide which weights get a gradient: some steps have none without
    r".*find_unused_parameters=True was specified in DDP constructor",
    # the loss scale of 16-mixed starts too high, so that its first steps are skipped
    r".*`lr_scheduler\.step\(\)` before `optimizer\.step\(\)`",
    # the layout of a depthwise convolution's gradient, which is copied
    r"Grad strides do not match bucket view strides",
    # RegionAndBoundary adds up over the processes itself
    r"It is recommended to use `self\.log\('val/[JF]+', \.\.\., sync_dist=True\)`",
    # a process may have no video of its own to validate
    r".*``compute`` method of metric RegionAndBoundary was called before the ``update``",
)


class RunLog:
    """The log of a run: on the terminal at once, in `train.log` from when its folder is claimed.

    Only the main process speaks; the others tell errors alone. loguru's own handler, whose number
    starts as 0, stands aside meanwhile; handlers of a program that calls us stay.
    """

    default_handler = 0

    def __init__(self, is_debug: bool) -> None:
        self._level = "DEBUG" if is_debug else "INFO"
        self._early: list[str] = []
        self._sinks: list[int] = []

    def __enter__(self) -> "RunLog":
        self._has_default = _remove(RunLog.default_handler)
        level = self._level if folder.is_main_process() else "ERROR"
        self._sinks = [
            logger.add(
                _write_to_terminal,
                level=level,
                format=TERMINAL_FORMAT,
                colorize=sys.stderr.isatty(),
            )
        ]
        if folder.is_main_process():
            self._sinks.append(logger.add(self._early.append, level=level, format=FILE_FORMAT))
        return self

    def open_file(self, output_dir: Path) -> None:
        """Go on in `train.log`, below what has been said so far."""
        path = output_dir / folder.LOG
        with path.open("a", encoding="utf-8") as file:
            file.writelines(self._early)
        _remove(self._sinks.pop())
        self._sinks.append(logger.add(path, level=self._level, format=FILE_FORMAT))

    def __exit__(self, *exception: object) -> None:
        for sink in self._sinks:
            _remove(sink)
        if self._has_default:
            RunLog.default_handler = logger.add(sys.stderr)


def _write_to_terminal(line: str) -> None:
    # sys.stderr is looked up for each line: a progress bar puts itself in its place
    sys.stderr.write(line)


def _remove(sink: int) -> bool:
    try:
        logger.remove(sink)
    except ValueError:
        return False
    return True


@contextmanager
def without_noise(*, is_debug: bool) -> Iterator[None]:
    """Keep back what Lightning and torch say of things that a user cannot, or need not, change."""
    lightning_log = logging.getLogger("lightning.pytorch")
    fabric_log = logging.getLogger("lightning.fabric")
    levels = lightning_log.level, fabric_log.level
    with warnings.catch_warnings():
        if not is_debug:
            # devices, precision, tips: what matters of it is in our own lines
            lightning_log.setLevel(logging.WARNING)
            fabric_log.setLevel(logging.WARNING)
            for message in NOISE:
                warnings.filterwarnings("ignore", message)
            if not folder.is_main_process():
                # the main process says the same
                warnings.simplefilter("ignore")
        try:
            yield
        finally:
            lightning_log.setLevel(levels[0])
            fabric_log.setLevel(levels[1])


def describe_model(model: SAM2Model) -> None:
    """Print the table of modules, their parameters and how many of them learn."""
    table = Table(
        title=f"{model.architecture.name} at {model.image_size[0]} x {model.image_size[1]} px"
    )
    table.add_column("module")
    table.add_column("parameters", justify="right")
    table.add_column("trainable", justify="right")
    lines = summarise(model.network)
    for line in lines:
        table.add_row(line.name, f"{line.num_parameters:,}", f"{line.num_trainable:,}")
    total = sum(line.num_parameters for line in lines)
    learning = sum(line.num_trainable for line in lines)
    table.add_section()
    table.add_row("all", f"{total:,}", f"{learning:,}")
    console = Console(width=100)
    with console.capture() as captured:
        console.print(table)
    logger.info(f"what learns:\n{captured.get().rstrip()}")
    if model.architecture.name != "micro" and max(model.image_size) < NATIVE_SIDE:
        logger.info(
            f"frames are {model.image_size[0]} x {model.image_size[1]} px; Meta's weights were "
            f"trained at {NATIVE_SIDE}: smaller is faster and weaker before fine-tuning"
        )


def describe_groups(groups: Sequence[ParameterGroup], settings: TrainerConfig) -> None:
    """Say what learns at which rate and with which weight decay."""
    rows: dict[tuple[str, float], list[ParameterGroup]] = {}
    for group in groups:
        name = group.name if settings.lr_by_name else "everything"
        kind = name if group.is_decayable else f"{name}: biases, norms"
        rows.setdefault((kind, group.decay), []).append(group)
    parts = []
    for (kind, decay), members in rows.items():
        rates = sorted({group.rate for group in members})
        rate = f"{rates[0]:.3g}" + (f" .. {rates[-1]:.3g}" if len(rates) > 1 else "")
        number = sum(group.num_parameters for group in members)
        parts.append(f"{kind}: rate {rate}, decay {decay:g}, {number:,} parameters")
    slower = f" (layer decay {settings.layer_decay:g})" if settings.layer_decay != 1 else ""
    logger.info(f"learning rates{slower}:\n  " + "\n  ".join(parts))


def describe_data(datamodule: ClipDataModule) -> None:
    """Say how many videos are trained and validated on."""
    train, validation = datamodule.train_videos, datamodule.val_videos
    frames = sum(video.num_frames for video in train)
    logger.info(
        f"training on {len(train)} videos ({frames} frames), validating on {len(validation)}, "
        "each from its first frame to its last"
    )
    if not validation:
        logger.warning("no validation (no video is held out): best_model.pth = last weights")


def describe_stop(reason: str, output_dir: Path) -> None:
    """Say how a run that was asked to stop can go on."""
    if (output_dir / folder.CHECKPOINTS / folder.LAST).is_file():
        logger.warning(f"{reason}; go on with --resume {output_dir}")
    else:
        logger.warning(f"{reason}, before training; there is nothing to resume, start again")


def describe_end(trainer: Trainer) -> None:
    """Say why training ended where it did not go through all epochs."""
    stops = [c for c in trainer.early_stopping_callbacks if isinstance(c, EarlyStopping)]
    if any(stop.stopped_epoch for stop in stops):
        logger.info(
            f"stopped early after epoch {trainer.current_epoch}: {stops[0].patience} validations "
            "without a better J&F (trainer.early_stopping)"
        )
    elif trainer.current_epoch < (trainer.max_epochs or 0):
        logger.info(
            f"stopped at step {trainer.global_step}, in epoch {trainer.current_epoch}: "
            "trainer.max_steps or trainer.max_time_minutes is reached"
        )


def conclude(result: TrainResult) -> None:
    """Say what came of the run, also when training did not help."""
    if not result.is_finished:
        return
    if result.best is None or result.last is None:
        logger.info(f"done; nothing was validated. Last weights: {result.best_model}")
        return
    before = "" if result.before is None else f"zero-shot {result.before:.3f}, "
    logger.info(f"validation J&F: {before}best {result.best:.3f}, last {result.last:.3f}")
    if result.before is not None and result.best <= result.before:
        logger.warning(
            "training did not help: no validation was better than zero-shot, whose weights are the "
            "best; try a lower trainer.lr, more data, or other trainable_modules"
        )
    averaged = ", averaged over the steps (trainer.ema_decay)" if result.is_best_averaged else ""
    logger.info(f"best weights: {result.best_model}{averaged}")
