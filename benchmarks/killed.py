"""The run that `benchmarks.kill` kills: training, with a file that tells where it stands."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from sam2_video.cli import main as run_verb
from sam2_video.training import attempt
from sam2_video.training.callbacks import BestWeights
from sam2_video.training.metrics_log import MetricsCsv
from sam2_video.training.state_file import StateFiles
from sam2_video.training.trainer import MemoryTuner

PHASES = {
    (MemoryTuner, "training_step"): "training step",
    (MemoryTuner, "backward"): "backward",
    (MemoryTuner, "optimizer_step"): "optimiser step",
    (MemoryTuner, "validation_step"): "validation",
    (StateFiles, "save_checkpoint"): "writing last.ckpt",
    (BestWeights, "write"): "writing best_model.pth",
    (MetricsCsv, "save_table"): "writing metrics.csv",
    (attempt, "_finish"): "writing the summary",
}
BETWEEN = "between"
PHASES_AT_REST = (BETWEEN, "training step", "backward", "optimiser step", "validation")
HALF = "half of last.ckpt"


def command(
    config: Path, resume: Path | None, phases: Path, kill_at: str = "", number: int = 0
) -> list[str]:
    """Return the command line of a run that writes its phase to a file.

    Args:
        config: of a new run.
        resume: the folder of the run that is continued in its place.
        phases: the file.
        kill_at: a phase in which the process kills itself, the `number`-th time from 1; with
            `HALF` when half of a state is on the disk.
        number: of times.
    """
    verb = ["--resume", str(resume)] if resume else ["--config", str(config)]
    return [sys.executable, "-m", "benchmarks.killed", str(phases), f"{kill_at}:{number}", *verb]


def begin(line: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a run; what it says goes nowhere."""
    return subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class _Place:
    """Tells the phase in a file, which outlives the process, and kills it where it is told to."""

    def __init__(self, path: Path, kill_at: str, number: int) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT)
        self._kill_at, self._left = kill_at, number
        self.phase = BETWEEN
        self.enter(BETWEEN)

    def enter(self, phase: str) -> None:
        self.phase = phase
        os.pwrite(self._file, phase.encode(), 0)
        os.ftruncate(self._file, len(phase))
        self.pass_by(phase)

    def pass_by(self, phase: str) -> None:
        if phase == self._kill_at:
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, owner: object, name: str, phase: str) -> None:
        original: Callable[..., Any] = getattr(owner, name)

        def watched(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            before = self.phase
            self.enter(phase)
            try:
                return original(*args, **kwargs)
            finally:
                self.phase = before
                os.pwrite(self._file, before.encode(), 0)
                os.ftruncate(self._file, len(before))

        setattr(owner, name, watched)

    def watch_halves(self) -> None:
        """Let a state be half written, once, where that is when the process is to be killed."""
        original = torch.save

        def save(content: Any, file: Any) -> None:  # noqa: ANN401
            original(content, file)
            if self.phase == "writing last.ckpt":
                file.truncate(file.tell() // 2)
                file.flush()
                self.pass_by(HALF)
                file.seek(0)
                file.truncate()
                original(content, file)

        if self._kill_at == HALF:
            torch.save = save


def main() -> int:
    """Train as `sam2-video train` does."""
    phases, plan, *arguments = sys.argv[1:]
    kill_at, _, number = plan.partition(":")
    place = _Place(Path(phases), kill_at, int(number))
    for (owner, name), phase in PHASES.items():
        place.watch(owner, name, phase)
    place.watch_halves()
    torch.set_num_threads(1)
    return run_verb(["train", *arguments])


if __name__ == "__main__":
    sys.exit(main())
