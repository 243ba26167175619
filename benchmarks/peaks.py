"""How much memory a process holds, and the most that it has held since it was asked to forget."""

import ctypes
import gc
from pathlib import Path

import torch


def forget(device: torch.device) -> None:
    """Give back what is not needed any more, and let the peak begin here."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        return
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    # Linux: the highest resident size so far becomes the present one
    Path("/proc/self/clear_refs").write_text("5")


def held_gb(device: torch.device) -> float:
    """Return the memory held now: of tensors on a GPU, resident on a CPU."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated() / 1e9
    return _read("self/status", "VmRSS")


def peak_gb(device: torch.device) -> float:
    """Return the most that was held since `forget`."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    return _read("self/status", "VmHWM")


def available_gb() -> float:
    """Return how much memory the machine can still give."""
    return _read("meminfo", "MemAvailable")


def _read(name: str, key: str) -> float:
    """Return a line of a file in /proc that counts kB."""
    lines = (Path("/proc") / name).read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) * 1024 / 1e9
