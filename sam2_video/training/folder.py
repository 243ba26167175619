"""The folder of a run: the names of what is there, and who may write it."""

import errno
import json
import os
import shutil
from pathlib import Path

CONFIG, METRICS_CSV, SUMMARY = "config.yaml", "metrics.csv", "training_metrics.json"
LOG, TENSORBOARD = "train.log", "tensorboard"
PICTURES, REPORT = "pictures", "report.html"
SCORES = "scores_{}.json"
"""Of the validations `zero_shot`, `best` and `last`, video by video."""
CHECKPOINTS, LAST, BEST = "checkpoints", "last.ckpt", "best_model.pth"
PREVIOUS = "previous.ckpt"
"""The state before `last.ckpt`, for when that is damaged."""
BEST_YAML = "best_model.yaml"

_RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
_CANNOT_WRITE = {
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM", "ENOTDIR", "ENAMETOOLONG")
    if hasattr(errno, name)
}


def is_main_process() -> bool:
    """Say whether this process is the one that writes (rank 0 of all machines)."""
    return all(os.environ.get(name, "0") == "0" for name in _RANKS)


def check_free(output_dir: Path) -> None:
    """Refuse a folder that a new run must not write to; a start that left no state is no run.

    Raises:
        ValueError: it already holds a run, or is a file.
    """
    if output_dir.is_file():
        raise ValueError(f"output_dir: {output_dir} is a file; give another --output-dir")
    state = sorted((output_dir / CHECKPOINTS).glob("[!.]*.ckpt"))
    if state:
        raise ValueError(
            f"output_dir: {output_dir} already holds a run; continue it with --resume "
            f"{output_dir}, or give another --output-dir"
        )


def claim(output_dir: Path) -> None:
    """Make the folder of a new run, without what an earlier start has left there."""
    (output_dir / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    if (output_dir / CONFIG).is_file():
        best = (f"{CHECKPOINTS}/{BEST}", f"{CHECKPOINTS}/{BEST_YAML}")
        scores = [SCORES.format(when) for when in ("zero_shot", "best", "last")]
        for name in (METRICS_CSV, SUMMARY, LOG, REPORT, *best, *scores):
            (output_dir / name).unlink(missing_ok=True)
        for name in (TENSORBOARD, PICTURES):
            shutil.rmtree(output_dir / name, ignore_errors=True)


def explain(error: OSError | RuntimeError, output_dir: Path) -> ValueError | None:
    """Return what to tell of what the system does to a run; None for any other failure."""
    if isinstance(error, OSError):
        return cannot_write(error, output_dir)
    return lost_worker(error, output_dir)


def cannot_write(error: OSError, output_dir: Path) -> ValueError | None:
    """Return what to tell of a failure to write a run's folder; None for any other failure."""
    is_inside = error.filename is None or output_dir in Path(str(error.filename)).parents
    if error.errno not in _CANNOT_WRITE or not (is_inside or error.filename == str(output_dir)):
        return None
    where = output_dir if error.filename is None else error.filename
    has_state = (output_dir / CHECKPOINTS / LAST).is_file()
    return ValueError(
        f"output_dir: cannot write {where} ({error.strerror}); make room or give another "
        f"--output-dir{f', and go on with --resume {output_dir}' if has_state else ''}"
    )


def lost_worker(error: RuntimeError, output_dir: Path) -> ValueError | None:
    """Return what to tell of a loading process that the system has ended; None for other errors."""
    said = str(error)
    if "DataLoader worker" not in said:
        return None
    has_state = (output_dir / CHECKPOINTS / LAST).is_file()
    return ValueError(
        f"a loading process was ended from outside ({said.splitlines()[0]}): mostly the machine's "
        "memory is full (dmesg tells), or /dev/shm is (in a container: --shm-size 8g or --ipc "
        "host). Lower dataset.num_workers or dataset.batch_size"
        f"{f', and go on with --resume {output_dir}' if has_state else ', and start again'}"
    )


def find_resume(resume: str) -> tuple[Path, Path]:
    """Return (checkpoint, run folder) of `--resume`: a `.ckpt`, or the folder of a run.

    Raises:
        FileNotFoundError: there is no checkpoint.
    """
    path = Path(resume)
    checkpoint = path
    if path.is_dir():
        names = (LAST, PREVIOUS, *sorted(p.name for p in (path / CHECKPOINTS).glob("epoch_*.ckpt")))
        found = [path / CHECKPOINTS / name for name in names]
        checkpoint = next((p for p in found if p.is_file()), found[0])
    if not checkpoint.is_file():
        raise FileNotFoundError(
            f"resume: no checkpoint at {checkpoint}; expected a .ckpt of a run, or its folder"
        )
    folder = checkpoint.parent
    return checkpoint, folder.parent if folder.name == CHECKPOINTS else folder


def is_finished(output_dir: Path) -> bool:
    """Say whether the run in a folder came to its end."""
    path = output_dir / SUMMARY
    if not path.is_file():
        return False
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:  # damaged: what the run came to is found out again
        return False
    return isinstance(content, dict) and content.get("is_finished") is True
