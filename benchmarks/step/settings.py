"""What a step works on, how each side does it, and what is hoped for."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from sam2_video.model.compilation import Compiled
from sam2_video.model.recompute import Recomputed

Device = Literal["cpu", "cuda"]
Shown = Literal["mask", "point"]
MEMORY_ONLY = ("memory_attention", "memory_encoder")
EVERYTHING = ("all",)


@dataclass(frozen=True)
class Problem:
    """One clip of noise with square objects, all of them shown on its first frame.

    As masks, or as points that so many clicks then correct on that frame.
    """

    architecture: str = "sam2.1-tiny"
    side: int = 512
    frames: int = 5
    objects: int = 3
    prompt: Shown = "mask"
    clicks: int = 0
    trainable: tuple[str, ...] = MEMORY_ONLY
    device: Device = "cpu"

    @classmethod
    def read(cls, fields: dict[str, Any]) -> "Problem":
        """Return the problem that a row's description has brought through JSON."""
        given: dict[str, Any] = {**fields, "trainable": tuple(fields["trainable"])}
        return cls(**given)


@dataclass(frozen=True)
class Way:
    """Who does the step, and how.

    `cache` reads what a frozen encoder says of the frames from a file of the feature cache. The
    names of the others are those of the configuration; `without` names a lever that is switched off
    (`benchmarks.levers`). Meta's side knows precision and dropout alone.
    """

    who: Literal["ours", "meta"]
    precision: Literal["fp32", "bf16"] = "fp32"
    dropout: float = 0.0
    cache: bool = False
    activation_checkpointing: Recomputed = "none"
    objects_at_once: int | None = None
    compile: Compiled = "off"
    without: str | None = None


@dataclass(frozen=True)
class Reach:
    """What is hoped for: the ratio of one way to Meta's, at most so much."""

    way: str
    measure: Literal["time", "peak"]
    at_most: float


@dataclass(frozen=True)
class Row:
    """Ways through one problem that take turns, the first of which the others are compared with.

    Where they do not fit into memory beside each other, `is_apart` gives each turn a process that
    ends after it.
    """

    name: str
    title: str
    problem: Problem
    ways: Mapping[str, Way]
    reaches: tuple[Reach, ...] = ()
    rounds: int = 4
    is_apart: bool = False
    families: tuple[str, ...] = field(default=())

    @property
    def has_floor(self) -> bool:
        """Say whether what each way takes at least is measured too: on a CPU, beside a reach."""
        return "reach" in self.families and self.problem.device == "cpu"

    def describe(self) -> dict[str, Any]:
        """Return what is measured: a result of the same is not measured again."""
        ways = {label: asdict(way) for label, way in self.ways.items()}
        problem = asdict(self.problem) | {"trainable": list(self.problem.trainable)}
        return {"problem": problem, "ways": ways}
