"""What a machine has: processor, memory, GPUs, versions of what matters."""

import os
import platform
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

PACKAGES = ("sam2-video-training", "torch", "transformers", "lightning", "numpy", "av", "peft")
MEMORY, LIMIT = Path("/proc/meminfo"), Path("/sys/fs/cgroup/memory.max")
DRIVER = Path("/proc/driver/nvidia")


@dataclass(frozen=True)
class Gpu:
    """A GPU that torch sees; memory in bytes."""

    name: str
    total: int
    free: int


@dataclass(frozen=True)
class Machine:
    """What was found; memory in bytes, None where the system does not tell.

    `torch_cuda` is the CUDA that torch was built for, None of a build for CPUs. `has_nvidia` says
    that there is a driver or its tool, whether or not torch can use it.
    """

    system: str
    processor: str
    num_cores: int
    memory: int | None
    free_memory: int | None
    gpus: tuple[Gpu, ...]
    torch_cuda: str | None
    has_nvidia: bool
    versions: dict[str, str]


def look_at_machine() -> Machine:
    """Return what this machine has."""
    total, free = _memory()
    return Machine(
        system=platform.platform(),
        processor=_processor(),
        num_cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else _cores(),
        memory=total,
        free_memory=free,
        gpus=_gpus(),
        torch_cuda=torch.version.cuda,
        has_nvidia=DRIVER.exists() or shutil.which("nvidia-smi") is not None,
        versions={"python": platform.python_version()}
        | {name: _version(name) for name in PACKAGES},
    )


def _cores() -> int:
    return os.cpu_count() or 1


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> tuple[int | None, int | None]:
    """Return all memory and what is free, as far as this process may use it."""
    if not MEMORY.exists():
        return None, None
    rows = dict(line.split(":", 1) for line in MEMORY.read_text().splitlines())
    total, free = (int(rows[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    if LIMIT.exists() and LIMIT.read_text().strip().isdigit():
        # a container's share
        limit = int(LIMIT.read_text())
        total, free = min(total, limit), min(free, limit)
    return total, free


def _gpus() -> tuple[Gpu, ...]:
    found = []
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        found.append(Gpu(torch.cuda.get_device_name(number), total, free))
    return tuple(found)
