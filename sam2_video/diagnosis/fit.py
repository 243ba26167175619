"""Whether a training step fits into memory, and if not, which settings make it fit."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from sam2_video.config import TrainConfig
from sam2_video.model.architecture import Architecture, find_architecture
from sam2_video.model.checkpoint import read_weights
from sam2_video.model.detect import detect_architecture
from sam2_video.model.meta_yaml import read_architecture
from sam2_video.training.need import MemoryNeed, predict_need

ASSUMED = "sam2.1-tiny"
RESERVE = 1_000_000_000
"""Bytes that are left to what the prediction does not see: a GPU's context, the working memory of
its libraries, fragments. A guess that no measurement stands behind yet."""


@dataclass(frozen=True)
class Option:
    """Settings that need less, and how much that is."""

    settings: dict[str, Any]
    need: int
    fits: bool


@dataclass(frozen=True)
class Fit:
    """What one step needs, and what there is; bytes.

    `room` is None where no memory is known. `options` go from the fastest on, each with all
    settings named before, and end with the first that fits.
    """

    architecture: str
    is_assumed: bool
    num_clips: int
    num_objects: int
    precision: str
    need: MemoryNeed
    reserve: int
    room: int | None
    options: tuple[Option, ...] = ()

    @property
    def fits(self) -> bool:
        """Say whether the step fits, the reserve included."""
        return self.room is None or self.need.total + self.reserve <= self.room


def find_network(config: TrainConfig) -> tuple[Architecture, bool]:
    """Return the architecture, and whether it is assumed, since the configuration names none."""
    if config.model.config_path is not None:
        return read_architecture(config.model.config_path), False
    if config.model.checkpoint_path is not None:
        return detect_architecture(read_weights(config.model.checkpoint_path)), False
    return find_architecture(ASSUMED), True


def see_whether_it_fits(
    config: TrainConfig,
    architecture: Architecture,
    precision: str,
    room: int | None,
    *,
    device: str = "cpu",
    is_assumed: bool = False,
    reserve: int = RESERVE,
) -> Fit:
    """Return the need of a step, and, where it does not fit, of the same with less kept."""
    size = config.dataset.batch_size
    num_clips = 1 if size == "auto" else size
    num_objects = config.dataset.max_objects

    def need_of(changed: TrainConfig) -> MemoryNeed:
        return predict_need(changed, architecture, num_clips, num_objects, precision, device=device)

    fit = Fit(
        architecture.name,
        is_assumed,
        num_clips,
        num_objects,
        precision,
        need_of(config),
        reserve,
        room,
    )
    options: list[Option] = []
    settings: dict[str, Any] = {}
    if fit.fits or room is None:
        return fit
    for name, value in _ladder(config, num_clips, num_objects):
        settings = settings | {f"trainer.{name}": value}
        config = replace(config, trainer=replace(config.trainer, **{name: value}))
        total = need_of(config).total
        options.append(Option(settings, total, total + reserve <= room))
        if options[-1].fits:
            break
    return replace(fit, options=tuple(options))


def _ladder(
    config: TrainConfig, num_clips: int, num_objects: int
) -> Iterator[tuple[str, int | str]]:
    """Yield settings that need less with the same gradient, from the fastest to the smallest."""
    trainer = config.trainer
    modes = ["none", "clicks", "light", "cheap", "frames"]
    for mode in ("light", "cheap", "frames"):
        if modes.index(mode) > modes.index(trainer.activation_checkpointing):
            yield "activation_checkpointing", mode
    if num_clips > 1 and trainer.clips_at_once != 1:
        yield "clips_at_once", 1
    at_once = min(trainer.objects_at_once or num_objects, num_objects)
    for number in sorted({-(-at_once // 2), 1}, reverse=True):
        if number < at_once:
            yield "objects_at_once", number
