"""Where the pictures of a run go: files in its folder, TensorBoard, and W&B when it is there."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from loguru import logger
from PIL import Image

from sam2_video.files import whole

WIDEST_LOGGED = 1400
"""Pixels: TensorBoard keeps every picture that it ever got."""


@contextmanager
def without_harm(what: str, told: set[str]) -> Iterator[None]:
    """Let a run go on where a picture cannot be written, or its frames be read, and say so.

    Args:
        what: cannot be made then.
        told: what was wrong before, which is not said again: a full disk stays full for epochs.
    """
    try:
        yield
    except OSError as error:
        # what the system says: the names of files and the room on the disk are others each time
        reason = str(error) if error.errno is None else os.strerror(error.errno)
        level = "DEBUG" if reason in told else "WARNING"
        told.add(reason)
        logger.log(level, f"pictures: {what} cannot be made ({error}); the run goes on without")


def save_picture(path: Path, picture: UInt8[np.ndarray, "height width 3"]) -> None:
    """Write a picture as PNG, whole or not at all; its folder is made."""
    with whole(path) as part:
        # the quickest: more would take longer than the drawing, for little
        Image.fromarray(picture).save(part, format="PNG", compress_level=1)


def save_movie(path: Path, movie: bytes) -> None:
    """Write a movie, whole or not at all."""
    with whole(path) as part:
        part.write_bytes(movie)


def log_picture(
    loggers: Sequence[Logger],
    name: str,
    picture: UInt8[np.ndarray, "height width 3"],
    step: int,
) -> None:
    """Show a picture in TensorBoard and W&B."""
    height, width, _ = picture.shape
    if width > WIDEST_LOGGED:
        size = (WIDEST_LOGGED, round(height * WIDEST_LOGGED / width))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    for log in loggers:
        if isinstance(log, TensorBoardLogger):
            log.experiment.add_image(f"pictures/{name}", picture, step, dataformats="HWC")
        elif isinstance(log, WandbLogger):
            log.log_image(f"pictures/{name}", [picture], step=step)


def log_movie(loggers: Sequence[Logger], name: str, path: Path, step: int) -> None:
    """Show a movie in W&B; TensorBoard knows only GIFs, several times as large."""
    for log in loggers:
        if isinstance(log, WandbLogger):
            log.log_video(f"pictures/{name}", [str(path)], step=step)


def end_pictures(loggers: Sequence[Logger]) -> None:
    """Write out what TensorBoard has been given after training, when it was closed already."""
    for log in loggers:
        if isinstance(log, TensorBoardLogger):
            log.experiment.close()
