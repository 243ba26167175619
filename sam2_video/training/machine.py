"""What the machine can do: devices, precision, processes, versions."""

import platform
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from loguru import logger

SECONDS_TO_END = 10
SECONDS_TO_FAIL = 10
PACKAGES = ("sam2-video-training", "torch", "transformers", "lightning", "numpy")


def choose_precision(wanted: str, accelerator: str) -> str:
    """Return the nearest precision that the device can: 16-mixed, bf16-mixed or 32-true.

    `accelerator` is resolved: cpu, gpu (CUDA) or mps. A change is said.
    """
    if accelerator == "gpu":
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        best = "bf16-mixed" if has_bf16 else "16-mixed"
        chosen = best if wanted == "auto" or (wanted == "bf16-mixed" and not has_bf16) else wanted
    elif wanted == "auto" or accelerator == "mps":
        chosen = "32-true"
    else:
        chosen = "bf16-mixed" if wanted == "16-mixed" else wanted
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


def count_devices(wanted: int | str, accelerator: str) -> int:
    """Return the number of devices of this machine to train on; `auto` = all GPUs, one CPU.

    Raises:
        ValueError: there are fewer.
    """
    present = {"gpu": torch.cuda.device_count(), "mps": 1}.get(accelerator)
    if wanted == "auto":
        return present or 1
    if present is not None and int(wanted) > present:
        raise ValueError(
            f"trainer.devices: got {wanted}, but torch sees {present} of {accelerator}; expected "
            f"at most {present}, or auto"
        )
    return int(wanted)


def has_failed_process(trainer: Trainer) -> bool:
    """Say whether a process that this one has started ended with an error, which it has told."""
    launcher = trainer.strategy.launcher
    if not isinstance(launcher, _SubprocessScriptLauncher) or not launcher.procs:
        return False
    # a connection breaks a moment before its process is gone
    end = time.monotonic() + SECONDS_TO_FAIL
    while time.monotonic() < end:
        if any(process.poll() for process in launcher.procs):
            return True
        time.sleep(0.1)
    return False


def end_other_processes(trainer: Trainer) -> None:
    """End the processes that this one has started; without it they would wait for each other.

    They get some seconds to end by themselves: each may be saving the batch that it failed on.
    """
    launcher = trainer.strategy.launcher
    if not isinstance(launcher, _SubprocessScriptLauncher):
        return
    for process in launcher.procs:
        try:
            process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()


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
