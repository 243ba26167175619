"""Folders of runs as training leaves them, made without training."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sam2_video.config import TrainConfig
from sam2_video.configuration import save

Scores = dict[str, float | None]

LOG = """\
2026-11-23 08:14:49 INFO    epoch 1/2: loss 1.163
2026-11-23 08:14:50 WARNING two lines
of <b>warning</b>
2026-11-23 08:14:51 WARNING again
2026-11-23 08:14:52 WARNING again
"""


def describe(scores: Scores, step: int) -> dict[str, Any]:
    """Return the content of a file of scores, an object a video."""
    return {
        "step": step,
        "J": 0.5,
        "videos": [
            {
                "video": name,
                "J": value,
                "objects": []
                if value is None
                else [{"object": 1, "J": value, "J_by_distance": {"1": value, "8": value / 2}}],
            }
            for name, value in scores.items()
        ],
    }


def write_picture(path: Path, size: tuple[int, int] = (300, 600)) -> None:
    """Write a picture that cannot be packed well."""
    path.parent.mkdir(exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the folder of a run."""

    def make(
        before: Scores,
        after: Scores,
        values: Sequence[float | None] = (0.4, 0.5, 0.6),
        *,
        is_finished: bool = True,
        num_pictures: int = 1,
        config: TrainConfig | None = None,
    ) -> Path:
        folder = tmp_path / "run"
        folder.mkdir()
        save(config or TrainConfig(), folder / "config.yaml")
        rows = ["step,epoch,train/J,train/loss,val/J"]
        rows += [
            f"{10 * number},{number},0.3,{1.5 - 0.1 * number},{'' if value is None else value}"
            for number, value in enumerate(values)
        ]
        (folder / "metrics.csv").write_text("\n".join(rows) + "\n")
        (folder / "train.log").write_text(LOG)
        summary = {"training_seconds": 3671.2, "clips_per_second": 1.5, "peak_memory_gb": 2.25}
        if is_finished:
            machine = {"machine": {"torch": "2.13.0", "device": "<i>GPU</i>"}}
            text = json.dumps({"is_finished": True} | summary | machine)
            (folder / "training_metrics.json").write_text(text)
        if before:
            best = before if max(v or 0 for v in values) == values[0] else after
            step = 0 if best is before else 20
            contents = {"zero_shot": (before, 0), "best": (best, step), "last": (after, 20)}
            for when, (scores, at) in contents.items():
                text = json.dumps(describe(scores, at))
                (folder / f"scores_{when}.json").write_text(text)
        for name in ("validation_worst", "data", "clips_first")[:num_pictures]:
            write_picture(folder / "pictures" / f"{name}.png")
        (folder / "pictures").mkdir(exist_ok=True)
        (folder / "pictures" / "validation_worst.mp4").write_bytes(b"movie" * 20)
        return folder

    return make
