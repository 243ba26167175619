"""`python -m benchmarks.presets`: what each preset in configs/ needs, by the prediction."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

from benchmarks.machine import ROOT, describe_versions
from benchmarks.memory_page import write_page
from benchmarks.step.flops import counted
from sam2_video.config import TrainConfig
from sam2_video.configuration import load_config
from sam2_video.diagnosis.fit import Fit, find_network, see_whether_it_fits
from sam2_video.diagnosis.presets import PRESETS
from sam2_video.training import need

RESULTS = Path(__file__).with_name("results") / "presets.json"
PRECISION = "bf16-mixed"
SAMPLE = (PRESETS[0], 3)
"""A preset, and how few frames: by its need a change of the code is noticed in seconds."""


def preset_path(card: int) -> Path:
    """Return the file of a card of so many GB."""
    return ROOT / "configs" / f"gpu-{card}gb.yaml"


def hash_preset(card: int) -> str:
    """Return what changes with the file of a preset."""
    return sha256(preset_path(card).read_bytes()).hexdigest()[:16]


def see(card: int, frames: int | None = None) -> tuple[TrainConfig, Fit]:
    """Return a preset, with clips of so many frames, and what it needs."""
    config = load_config(preset_path(card))
    if frames is not None:
        config = replace(config, dataset=replace(config.dataset, video_clip_length=frames))
    architecture, _ = find_network(config)
    return config, see_whether_it_fits(config, architecture, PRECISION, room=None, device="cuda")


@contextmanager
def counting() -> Iterator[list[int]]:
    """Count the operations of the steps that are predicted within: forward and backward passes."""
    counts: list[int] = []

    class Counted(need.Footprint):
        def __enter__(self) -> Self:
            self._counted = counted()
            self._count = self._counted.__enter__()
            return super().__enter__()

        def __exit__(self, *error: Any) -> None:  # noqa: ANN401 (whatever was raised)
            super().__exit__(*error)
            counts.append(self._count())
            self._counted.__exit__(*error)

    with patch.object(need, "Footprint", Counted):
        yield counts


def describe(card: int) -> dict[str, Any]:
    """Return what is recorded of a preset."""
    config, fit = see(card)
    # apart: a counter lets attention be taken to pieces, which need more memory
    with counting() as counts:
        see(card)
    assert len(counts) == 2
    return {
        "tflop": sum(counts) / 1e12,
        "preset": hash_preset(card),
        "network": fit.architecture,
        "learns": config.model.trainable_modules,
        "checkpointing": config.trainer.activation_checkpointing,
        "clips": fit.num_clips,
        "frames": config.dataset.video_clip_length,
        "objects": fit.num_objects,
        "need": asdict(fit.need),
        "total": fit.need.total,
    }


def main() -> None:
    """Predict all presets, record them, and write docs/memory.md anew."""
    rows = {}
    for card in PRESETS:
        rows[str(card)] = describe(card)
        print(card, f"{rows[str(card)]['total'] / 1e9:.2f} GB", flush=True)
    _, sample = see(*SAMPLE)
    found = {"versions": describe_versions(), "sample": sample.need.total, "cards": rows}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    write_page()


if __name__ == "__main__":
    main()
