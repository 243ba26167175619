"""`python -m benchmarks.memory`: the peak of training steps on a CPU, beside the prediction.

Each row is a process of its own: it loads the network, takes two steps of the largest clip, as
`dataset.batch_size: auto` does on a GPU, and only then predicts.
"""

import json
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch

from benchmarks.apart import measure_apart
from benchmarks.machine import describe_commit, describe_machine, describe_versions
from benchmarks.memory_page import write_page
from benchmarks.peaks import forget, held_gb, peak_gb
from sam2_video.configuration import load_config
from sam2_video.model.heap import joining_environment
from sam2_video.model.sam2 import SAM2Model
from sam2_video.training.largest import heaviest_seed, make_largest_clip, repeat_clip
from sam2_video.training.need import predict_need
from sam2_video.training.optimiser import build_optimiser
from sam2_video.training.prepare import make_tuner

RESULTS = Path(__file__).with_name("results") / "memory.json"
NETWORK = "sam2.1-tiny"
NUM_STEPS = 2
SHAPES = ((128, 4, 3), (256, 4, 3), (512, 2, 3))
"""Side, frames, objects."""
OTHER_SHAPES = ((128, 4, 1), (128, 4, 8), (128, 8, 3))
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Setting:
    """What a step works on, and what it computes twice."""

    side: int
    frames: int
    objects: int
    checkpointing: str


SETTINGS = [
    *(
        Setting(*shape, mode)
        for mode, shape in product(("none", "light", "cheap", "frames"), SHAPES)
    ),
    *(Setting(*shape, mode) for mode, shape in product(("none", "cheap"), OTHER_SHAPES)),
]


def measure(setting: Setting) -> dict[str, float]:
    """Return the predicted and the measured peak over the loaded network, in GB."""
    torch.set_num_threads(1)
    size = (setting.side, setting.side)
    config = load_config(
        None,
        {
            "model.config_path": NETWORK,
            "dataset.image_size": list(size),
            "dataset.video_clip_length": setting.frames,
            "dataset.max_objects": setting.objects,
            "trainer.activation_checkpointing": setting.checkpointing,
            # of two frames the second reads what the first has written
            "prompts.conditioning_frames": 1,
        },
    )
    model = SAM2Model.load(None, NETWORK, size)
    model.set_trainable(config.model.trainable_modules)
    tuner = make_tuner(config, model)
    optimiser, _ = build_optimiser(model.network.named_parameters(), config.trainer, NUM_STEPS)
    seed = heaviest_seed(setting.frames, config.prompts)
    forget(CPU)
    loaded = held_gb(CPU)
    clip = make_largest_clip(setting.frames, setting.objects, size)
    batch = repeat_clip(clip, 1, seed)
    for _ in range(NUM_STEPS):
        loss = tuner.compute_loss(batch).loss.total
        optimiser.zero_grad()
        loss.backward()
        del loss
        optimiser.step()
    measured = peak_gb(CPU) - loaded
    need = predict_need(config, model.architecture, 1, setting.objects, "32-true")
    return {"predicted": (need.total - need.weights) / 1e9, "measured": measured}


def main() -> None:
    """Measure every setting, record them, and write docs/memory.md anew."""
    rows: list[dict[str, Any]] = []
    for setting, measured in measure_apart(
        "benchmarks.memory", SETTINGS, measure, __doc__, **joining_environment()
    ):
        rows.append(asdict(setting) | measured)
        print(rows[-1], flush=True)
    found = {"machine": describe_machine(), "versions": describe_versions()}
    found |= {"commit": describe_commit(), "network": NETWORK, "rows": rows}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    write_page()


if __name__ == "__main__":
    main()
