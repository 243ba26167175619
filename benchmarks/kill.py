"""`python -m benchmarks.kill`: kill runs at random moments, resume them, compare the ends.

Each run is a process that SIGKILL ends, several times, wherever it is: in a step, in validation, in
the middle of writing a file. What it comes to in the end is compared bit for bit.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.killed import PHASES_AT_REST, begin, command
from sam2_video.configuration import load_config, save
from sam2_video.data.synthetic import write_dataset
from sam2_video.files import read_numbers, write_json
from sam2_video.training.folder import BEST, CHECKPOINTS, LAST, LOG, METRICS_CSV, is_finished
from sam2_video.training.state_file import find_fault

RESULTS = Path(__file__).with_name("results") / "kills.json"
SETTINGS: dict[str, Any] = {
    "model.config_path": "micro",
    "model.memory_attention_dropout": 0.1,
    "model.trainable_modules": ["memory", "mask_decoder"],
    "dataset.image_size": [64, 64],
    "dataset.video_clip_length": 3,
    "dataset.clips_per_video": 3,
    "dataset.frame_stride": [1, 2],
    "dataset.paste_probability": 0.3,
    "dataset.num_workers": 1,
    "prompts.mask": 0.4,
    "prompts.box": 0.3,
    "prompts.point": 0.3,
    "trainer.max_epochs": 3,
    "trainer.accumulate": 2,
    "trainer.accelerator": "cpu",
    "trainer.precision": "32-true",
    "trainer.lr": 1e-3,
    "trainer.ema_decay": 0.9,
    "trainer.early_stopping": 5,
    "trainer.save_every_minutes": 0.005,
    "trainer.pictures_every": 0,
    "use_wandb": False,
}
"""Everything random has a part: prompts of all kinds, corrections, augmentation, dropout, order."""
WHILE_WRITING = 0.4
"""The share of kills that wait for a file to be written; the others fall anywhere."""
SECONDS_WRITING = 0.02


def write_config(folder: Path, output_dir: Path, **changes: object) -> Path:
    """Write the configuration of a run, with data where there are none yet; return its path."""
    data = folder / "data"
    if not data.is_dir():
        write_dataset(data, 3, num_videos=5, num_frames=6, size=(48, 64), num_objects=(1, 3))
    paths = {
        "dataset.data_path": str(data / "videos"),
        "dataset.masks_path": str(data / "masks"),
        "output_dir": str(output_dir),
    }
    path = folder / f"{output_dir.name}.yaml"
    save(load_config(None, SETTINGS | paths | changes), path)
    return path


def outcome(output_dir: Path) -> dict[str, Any]:
    """Return all that a run came to and that does not depend on the machine's speed."""
    content = torch.load(output_dir / CHECKPOINTS / LAST, weights_only=True)
    rows = read_numbers(output_dir / METRICS_CSV)
    kept = ("step", "epoch", "train/", "val", "lr", "gradient")
    return {
        "weights": content["state_dict"],
        "optimiser": content["optimizer_states"],
        "schedule": content["lr_schedulers"],
        "average": content.get("average"),
        "best": torch.load(output_dir / CHECKPOINTS / BEST, weights_only=True),
        "metrics": [{k: v for k, v in row.items() if k.startswith(kept)} for row in rows],
    }


def differences(one: object, other: object, name: str = "") -> list[str]:
    """Return the names of all values in which two nested states differ, to the last bit."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        is_same = one.dtype == other.dtype and torch.equal(one, other)
        return [] if is_same else [name]
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return [name]
        return [d for key in one for d in differences(one[key], other[key], f"{name}/{key}")]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            return [name]
        pairs = enumerate(zip(one, other, strict=True))
        return [d for place, pair in pairs for d in differences(*pair, f"{name}/{place}")]
    return [] if one == other else [name]


def kill_at_random(process: subprocess.Popen[bytes], phases: Path, rng: random.Random) -> bool:
    """Kill a process at a random moment of its training; return False where it was done before."""
    wants_write = rng.random() < WHILE_WRITING
    delay = rng.uniform(0, SECONDS_WRITING if wants_write else SECONDS_OF_A_RUN[0])
    number = rng.randrange(1, 6)
    begun = None
    last = ""
    while process.poll() is None:
        phase = phases.read_text() if phases.is_file() else ""
        if wants_write and phase != last and phase.startswith("writing"):
            number -= 1
        last = phase
        is_begun = number == 0 if wants_write else phase not in ("", "starting")
        if is_begun and begun is None:
            begun = time.monotonic()
        if begun is not None and time.monotonic() - begun >= delay:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.0005)
    return process.wait() == -signal.SIGKILL


SECONDS_OF_A_RUN = [10.0]


def break_run(folder: Path, number: int, rng: random.Random, most: int) -> tuple[Path, list[Any]]:
    """Kill and resume one run up to `most` times, let it end, and return it with its kills."""
    output_dir = folder / f"run{number}"
    config, phases = write_config(folder, output_dir), folder / f"phase{number}"
    kills: list[dict[str, Any]] = []
    while True:
        has_state = any((output_dir / CHECKPOINTS).glob("[!.]*.ckpt"))
        phases.unlink(missing_ok=True)
        process = begin(command(config, output_dir if has_state else None, phases))
        if len(kills) == most or not kill_at_random(process, phases, rng):
            if process.wait():
                log = (output_dir / LOG).read_text(errors="replace")[-2000:]
                raise ValueError(f"{output_dir}: ended with {process.returncode} after\n{log}")
            return output_dir, kills
        last = output_dir / CHECKPOINTS / LAST
        parts = [part.name for part in output_dir.rglob(".*.part*")]
        kills.append(
            {
                "run": number,
                "phase": phases.read_text(),
                "unfinished_files": [part.rpartition(".part")[0].strip(".") for part in parts],
                "is_last_state_whole": find_fault(last) is None if last.is_file() else None,
            }
        )
        # killed as it ended: there is nothing to resume
        if is_finished(output_dir):
            return output_dir, kills


def main() -> None:
    """Kill, compare and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    kills: list[dict[str, Any]] = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        started = time.monotonic()
        unbroken, _ = break_run(folder, 0, rng, 0)
        # most of a process is Python starting
        SECONDS_OF_A_RUN[0] = (time.monotonic() - started) / 2
        expected, number, unequal = outcome(unbroken), 0, []
        while len(kills) < options.kills:
            number += 1
            most = min(rng.randrange(1, 5), options.kills - len(kills))
            output_dir, own = break_run(folder, number, rng, most)
            found = differences(expected, outcome(output_dir))
            kills += [kill | {"equal": not found} for kill in own]
            unequal += [f"run{number}{name}" for name in found]
            print(f"run {number}: {[kill['phase'] for kill in own]}, equal: {not found}")
    write_json(
        options.out,
        {
            "kills": len(kills),
            "runs": number,
            "equal": not unequal,
            "differences": unequal,
            "phases": dict(Counter(kill["phase"] for kill in kills)),
            "while_writing": sum(kill["phase"] not in PHASES_AT_REST for kill in kills),
            "each": kills,
            "torch": torch.__version__,
            "threads": os.environ.get("OMP_NUM_THREADS"),
        },
    )
    sys.exit(1 if unequal else 0)


if __name__ == "__main__":
    main()
