"""What a checkpoint file says of its model, beside the weights: architecture and image size."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sam2_video.model.architecture import Architecture

FACTS = "sam2_video"
"""The key of these facts in a training checkpoint, and in the metadata of safetensors."""


@dataclass(frozen=True)
class ModelFacts:
    """The architecture of some weights, and the frames (height, width) that they are used at."""

    architecture: Architecture
    image_size: tuple[int, int]


def dump_facts(facts: ModelFacts) -> str:
    """Return the facts as text: safetensors' metadata holds nothing else."""
    return json.dumps(asdict(facts))


def read_facts(text: object, source: str) -> ModelFacts | None:
    """Return the facts that `dump_facts` wrote, or None where a file has none.

    Raises:
        ValueError: the text is something else.
    """
    if text is None:
        return None
    try:
        return TypeAdapter[Any](ModelFacts).validate_json(text)  # pyright: ignore[reportArgumentType]
    except (ValidationError, TypeError) as error:
        raise ValueError(
            f"{source}: what it says of its model under {FACTS!r} cannot be read; expected its "
            "architecture and image_size"
        ) from error
