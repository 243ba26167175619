"""Faults of a machine that training would stumble over, each with its grade and its way out."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import av
from av.codec import Codec
from av.codec.codec import UnknownCodecError

from sam2_video.config import TrainConfig
from sam2_video.data.cores import num_cores
from sam2_video.diagnosis.machine import Machine

Grade = Literal["error", "warning", "hint"]
CODECS = ("h264", "hevc", "mpeg4", "vp9", "av1")
COMPILERS = ("c++", "g++", "clang++")
SHARED = Path("/dev/shm")
BATCHES_AHEAD = 2
"""That each loading process keeps ready."""
SECONDS = 120


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: what, and what to do. An error will stop, or spoil, a training."""

    grade: Grade
    what: str
    way_out: str


def find_faults(machine: Machine, config: TrainConfig) -> list[Fault]:
    """Return all that is wrong with this machine for a training, apart from its memory."""
    return [
        *_torch_build(machine, config),
        *_torchvision(),
        *_codecs(),
        *_wandb(config),
        *_compiler(),
        *_triton(machine, config),
        *_shared_memory(config),
    ]


def _torch_build(machine: Machine, config: TrainConfig) -> Iterator[Fault]:
    if machine.gpus or config.trainer.accelerator == "cpu":
        return
    if machine.has_nvidia and machine.torch_cuda is None:
        yield Fault(
            "error",
            f"torch {machine.versions['torch']} is a build for CPUs, but there is an NVIDIA GPU",
            "install a CUDA build (https://pytorch.org/get-started/locally), or say "
            "trainer.accelerator: cpu",
        )
    elif machine.has_nvidia:
        yield Fault(
            "error",
            f"torch is built for CUDA {machine.torch_cuda} and sees no GPU, but there is a driver",
            "see whether nvidia-smi works and its CUDA version is no older, and whether "
            "CUDA_VISIBLE_DEVICES hides the GPU",
        )
    elif config.trainer.accelerator in ("gpu", "cuda"):
        yield Fault(
            "error",
            "trainer.accelerator asks for a GPU, and there is none",
            "say trainer.accelerator: auto",
        )


def _torchvision() -> Iterator[Fault]:
    """Import it in a process of its own: a broken one breaks lightning and transformers too."""
    if find_spec("torchvision") is None:
        return
    command = [sys.executable, "-c", "import torchvision; torchvision.ops.nms"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        problem = f"its import does not end within {SECONDS} s"
    else:
        if done.returncode == 0:
            return
        problem = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    yield Fault(
        "error",
        f"torchvision does not fit torch {version('torch')}: {problem}",
        "pip uninstall torchvision (nothing here needs it), or install the one made for this torch",
    )


def _codecs() -> Iterator[Fault]:
    missing = [name for name in CODECS if not _can_decode(name)]
    if missing:
        yield Fault(
            "warning",
            f"PyAV {av.__version__} cannot decode {', '.join(missing)}: such videos are refused",
            "pip install --force-reinstall av (its wheels bring FFmpeg along)",
        )


def _can_decode(name: str) -> bool:
    try:
        Codec(name, "r")
    except UnknownCodecError:
        return False
    return True


def _wandb(config: TrainConfig) -> Iterator[Fault]:
    if config.use_wandb and find_spec("wandb") is None:
        yield Fault(
            "hint",
            "use_wandb is on, and the wandb package is not installed: curves go to TensorBoard and "
            "metrics.csv",
            'pip install "sam2-video-training[wandb]", or say use_wandb: false',
        )


def _compiler() -> Iterator[Fault]:
    if not any(shutil.which(name) for name in COMPILERS):
        yield Fault(
            "hint",
            f"no C++ compiler ({', '.join(COMPILERS)}): torch.compile cannot work",
            "install one, such as the package g++; all else works without",
        )


def _triton(machine: Machine, config: TrainConfig) -> Iterator[Fault]:
    if machine.gpus and config.trainer.compile != "off" and find_spec("triton") is None:
        yield Fault(
            "warning",
            "trainer.compile is on, and the triton package, which makes kernels for GPUs, is not "
            "installed: nothing will be compiled",
            "pip install triton (triton-windows on Windows), or say trainer.compile: off",
        )


def _shared_memory(config: TrainConfig) -> Iterator[Fault]:
    workers = config.dataset.num_workers
    workers = num_cores() if workers is None else workers
    if workers == 0 or not SHARED.exists():
        return
    data, (height, width) = config.dataset, config.dataset.image_size
    num_clips = 1 if data.batch_size == "auto" else data.batch_size
    clip = data.video_clip_length * height * width * (3 + data.max_objects)
    needed = workers * BATCHES_AHEAD * num_clips * clip
    free = shutil.disk_usage(SHARED).free
    if free < needed:
        yield Fault(
            "warning",
            f"/dev/shm has {free / 1e6:.0f} MB free, and {workers} loading processes keep about "
            f"{needed / 1e6:.0f} MB of batches there",
            "start the container with --shm-size 8g, or say dataset.num_workers: 0",
        )


def find_disk_faults(config: TrainConfig, checkpoint_bytes: int) -> list[Fault]:
    """Say whether the checkpoints of a run fit on the disk of `output_dir`."""
    place = Path(config.output_dir).expanduser().absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    # the newest ones, the last one, the best one and its copy without the optimiser
    number = max(config.trainer.keep_checkpoints, 0) + 3
    if free >= number * checkpoint_bytes:
        return []
    grade: Grade = "error" if free < 2 * checkpoint_bytes else "warning"
    what = (
        f"output_dir: {place} has {free / 1e9:.1f} GB free, and {number} checkpoints of "
        f"{checkpoint_bytes / 1e9:.2f} GB are kept"
    )
    return [Fault(grade, what, "name another output_dir, or a smaller trainer.keep_checkpoints")]
