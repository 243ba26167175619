"""What a prediction was made of, from what, and how fast: the content of prediction.json."""

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from sam2_video.inference import MaskLayout, fingerprint
from sam2_video.model.propagation import Direction
from sam2_video.model.sam2 import SAM2Model

_PACKAGES = ("sam2-video-training", "torch", "transformers", "av", "numpy")


@dataclass(frozen=True)
class Settings:
    """What decides about the masks, beside the weights and the prompts."""

    start: int | None
    direction: Direction
    layout: MaskLayout
    max_objects: int
    precision: str


@dataclass(frozen=True)
class Prediction:
    """What was predicted, and where it lies.

    `num_tracked` frames have masks. `seconds` is the time from the first frame to the last mask.
    """

    out: Path
    num_frames: int
    num_tracked: int
    object_ids: tuple[int, ...]
    seconds: float

    @property
    def frames_per_second(self) -> float:
        """Return how many frames were tracked a second."""
        return self.num_tracked / self.seconds if self.seconds else 0.0


def describe(
    done: Prediction, video: Path, checkpoint: str | None, model: SAM2Model, settings: Settings
) -> dict[str, Any]:
    """Return what stands in prediction.json."""
    device = model.device
    is_gpu = device.type == "cuda"
    return {
        "is_finished": True,
        "video": str(video),
        "num_frames": done.num_frames,
        "num_tracked": done.num_tracked,
        "object_ids": list(done.object_ids),
        "seconds": round(done.seconds, 3),
        "frames_per_second": round(done.frames_per_second, 3),
        "settings": {**vars(settings), "image_size": list(model.image_size)},
        "model": {
            "checkpoint": checkpoint,
            "architecture": model.architecture.name,
            "weights": fingerprint(model),
        },
        "device": torch.cuda.get_device_name(device) if is_gpu else device.type,
        "versions": {"python": platform.python_version(), **_versions()},
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
