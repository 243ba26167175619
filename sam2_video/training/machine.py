"""What the machine can do: precision, versions, memory."""

import platform
from importlib.metadata import PackageNotFoundError, version

import torch
from loguru import logger

PACKAGES = ("sam2-video-training", "torch", "transformers", "lightning", "numpy")


def choose_precision(wanted: str, accelerator: str) -> str:
    """Return the nearest precision that the device can: 16-mixed, bf16-mixed or 32-true.

    `accelerator` is resolved: cpu, gpu (CUDA) or mps. A change is said.
    """
    if accelerator == "gpu":
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        best = "bf16-mixed" if has_bf16 else "16-mixed"
        chosen = best if wanted == "auto" or (wanted == "bf16-mixed" and not has_bf16) else wanted
    elif wanted == "auto":
        chosen = "32-true"
    else:
        chosen = "bf16-mixed" if wanted == "16-mixed" and accelerator == "cpu" else wanted
    if chosen != wanted and wanted != "auto":
        logger.warning(f"trainer.precision: {accelerator} cannot do {wanted}; using {chosen}")
    return chosen


def resolve_accelerator(wanted: str) -> str:
    """Return cpu, gpu or mps for `auto`; other names as they are.

    Raises:
        ValueError: a GPU was asked for and torch sees none.
    """
    if wanted == "auto":
        if torch.cuda.is_available():
            return "gpu"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if wanted in ("gpu", "cuda"):
        if not torch.cuda.is_available():
            raise ValueError(
                "trainer.accelerator: got gpu, but torch sees none (a CPU build of torch, or no "
                "driver?); use --accelerator cpu, or install a CUDA build of torch"
            )
        return "gpu"
    return wanted


def describe_machine() -> dict[str, str]:
    """Return versions and device names for the summary of a run."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    found["device"] = (
        torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or "cpu"
    )
    return found
