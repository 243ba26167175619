"""Load a model for inference: any checkpoint, at its own image size, on the best device."""

import hashlib
from typing import Literal

import torch

from sam2_video.model.checkpoint import read_weights
from sam2_video.model.export import find_facts
from sam2_video.model.sam2 import SAM2Model

Accelerator = Literal["auto", "cpu", "gpu", "mps"]


def load_model(
    checkpoint: str,
    config: str | None = None,
    image_size: tuple[int, int] | None = None,
    device: torch.device | str = "cpu",
) -> SAM2Model:
    """Load a model to predict with, in eval mode.

    Args:
        checkpoint: a run's `best_model.pth` or `.ckpt`, Meta's `.pt`, what `export` wrote, a
            folder or hub id that transformers loads.
        config: an architecture's name or Meta's YAML; None = as the checkpoint tells.
        image_size: height, width of the model's input; None = as the checkpoint, or the run that
            it is of, tells.
        device: to run on.

    Raises:
        FileNotFoundError: no such checkpoint or configuration.
        ValueError: weights and architecture do not fit.
    """
    if image_size is None:
        image_size = find_facts(read_weights(checkpoint), config, None).image_size
    return SAM2Model.load(checkpoint, config, image_size).to(device)


def choose_device(accelerator: Accelerator, local_rank: int = 0) -> torch.device:
    """Return the device of this process; `auto` = the best that there is.

    Raises:
        ValueError: a GPU was asked for and torch sees none.
    """
    has_gpu, has_mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if accelerator == "gpu" and not has_gpu:
        raise ValueError(
            "accelerator: got gpu, but torch sees none (a CPU build of torch, or no driver?); use "
            "--accelerator cpu, or install a CUDA build of torch"
        )
    if has_gpu and accelerator in ("auto", "gpu"):
        return torch.device("cuda", local_rank % torch.cuda.device_count())
    if accelerator == "mps" or (accelerator == "auto" and has_mps):
        return torch.device("mps")
    return torch.device("cpu")


def fingerprint(model: SAM2Model) -> str:
    """Return a name of the weights that no other weights have."""
    digest = hashlib.sha256()
    for name, value in sorted(model.network.state_dict().items()):
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        as_bytes = value.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(as_bytes.numpy().tobytes())
    return digest.hexdigest()[:16]
