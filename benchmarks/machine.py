"""What a measurement ran on: processor, memory, versions, and which code."""

import hashlib
import os
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile")
"""What a CPU may have that decides how fast it multiplies matrices."""
PACKAGES = ("torch", "transformers", "sam2", "numpy")


def describe_machine() -> dict[str, Any]:
    """Return processor, threads, memory and, if there is one, the GPU."""
    cpu = _cpu_info()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "cpu": cpu.get("model name", "unknown"),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "flags": [flag for flag in FLAGS if flag in cpu.get("flags", "").split()],
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "gpu": gpu,
    }


def describe_versions() -> dict[str, str]:
    """Return the versions of what computes."""
    return {package: version(package) for package in PACKAGES}


def describe_commit() -> str:
    """Return the commit that is checked out; `+` says that files differ from it."""
    commit = _git("rev-parse", "--short=12", "HEAD")
    changed = _git(
        "status", "--porcelain", "--untracked-files=no", "--", "sam2_video", "benchmarks"
    )
    is_changed = any(line.endswith(".py") for line in changed.splitlines())
    return commit + ("+" if is_changed else "")


def hash_code(*folders: str) -> str:
    """Return what changes with any Python file below some folders of the repository."""
    digest = hashlib.sha256()
    for path in _python_files(folders):
        digest.update(str(path.relative_to(ROOT)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _python_files(folders: tuple[str, ...]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def _cpu_info() -> dict[str, str]:
    """Return what the kernel says of the first core."""
    first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()
