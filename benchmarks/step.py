"""`make bench`: time and peak memory of one training step, ours against Meta's, A B A B.

Both sides have the same random weights, batch, frozen parts and precision, the official summed
loss and AdamW. Each run is a process of its own, so that peaks do not mix.
"""

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

from sam2_video.config import LossConfig
from sam2_video.losses import clip_loss
from sam2_video.model.sam2 import SAM2Model
from sam2_video.structures import Prompt

RESULTS = Path(__file__).with_name("results")
OFFICIAL_LOSS = LossConfig(focal=20.0, dice=1.0, reduction="sum")
SIDES = ("ours", "meta")


@dataclass(frozen=True)
class Setting:
    """What a step works on: one clip, mask prompts on its first frame."""

    architecture: str = "sam2.1-tiny"
    side: int = 512
    frames: int = 5
    objects: int = 3
    trainable: tuple[str, ...] = ("memory_attention", "memory_encoder")

    @property
    def name(self) -> str:
        """Return a file name."""
        size = f"{self.side}px_{self.frames}f_{self.objects}o"
        return f"{self.architecture}_{size}_{'+'.join(self.trainable)}"


def make_clip(setting: Setting) -> tuple[Tensor, Tensor]:
    """Return pixels [1 frames 3 side side] and masks [objects frames side side]."""
    generator = torch.Generator().manual_seed(0)
    side = setting.side
    pixels = torch.randn(1, setting.frames, 3, side, side, generator=generator)
    masks = torch.zeros(setting.objects, setting.frames, side, side, dtype=torch.bool)
    for row in range(setting.objects):
        top = row * side // (setting.objects + 1)
        masks[row, :, top : top + side // 3, side // 4 : side // 2] = True
    return pixels, masks


def prepare(who: str, setting: Setting) -> Callable[[], None]:
    """Return a function that does one optimisation step."""
    from tests.model.meta_oracle import build_meta, jitter, meta_batch

    model = SAM2Model.load(None, setting.architecture, (setting.side, setting.side))
    jitter(model, seed=1)
    model.set_trainable(setting.trainable)
    model.train()
    pixels, masks = make_clip(setting)
    object_clip = torch.zeros(setting.objects, dtype=torch.long)
    if who == "ours":
        learning = [p for p in model.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(learning, lr=1e-5)
        prompt = Prompt(0, tuple(range(setting.objects)), masks=masks[:, 0].float())
        labelled = torch.ones(masks.shape[:2], dtype=torch.bool)

        def loss() -> Tensor:
            outputs = model(pixels, object_clip, [prompt])
            return clip_loss(outputs, masks.byte(), labelled, OFFICIAL_LOSS).total
    else:
        from training.loss_fns import MultiStepMultiMasksAndIous

        meta = build_meta(
            model, prob_to_use_pt_input_for_train=0.0, prob_to_use_box_input_for_train=0.0
        )
        for name, parameter in meta.named_parameters():
            parameter.requires_grad_(name.startswith(setting.trainable))
        meta.train()
        criterion = MultiStepMultiMasksAndIous(
            {"loss_mask": 20, "loss_dice": 1, "loss_iou": 1, "loss_class": 1},
            supervise_all_iou=True,
            iou_use_l1_loss=True,
            pred_obj_scores=True,
        )
        batch = meta_batch(pixels, masks, object_clip)
        learning = [p for p in meta.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(learning, lr=1e-5)

        def loss() -> Tensor:
            return criterion(meta(batch), batch.masks)["core_loss"]

    def step() -> None:
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()

    return step


def measure(who: str, setting: Setting, num_steps: int) -> dict[str, object]:
    """Time steps in this process, after one that does not count."""
    step = prepare(who, setting)
    loaded = _peak_gb()
    step()
    seconds = []
    for _ in range(num_steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds, "peak_gb": _peak_gb(), "loaded_gb": loaded}


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def compare(setting: Setting, rounds: int, num_steps: int) -> dict[str, object]:
    """Run both sides in turn and return times, peaks and the median ratio."""
    runs: dict[str, list[dict]] = {who: [] for who in SIDES}
    for _ in range(rounds):
        for who in SIDES:
            command = [sys.executable, "-m", "benchmarks.step", "--child", who]
            command += ["--setting", json.dumps(asdict(setting)), "--steps", str(num_steps)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            runs[who].append(json.loads(done.stdout.splitlines()[-1]))
    medians = {
        who: statistics.median(s for run in runs[who] for s in run["seconds"]) for who in SIDES
    }
    peaks = {who: max(run["peak_gb"] for run in runs[who]) for who in SIDES}
    pairs = zip(runs["ours"], runs["meta"], strict=True)
    ratios = [
        statistics.median(ours["seconds"]) / statistics.median(meta["seconds"])
        for ours, meta in pairs
    ]
    return {
        "setting": asdict(setting),
        "seconds_a_step": medians,
        "peak_gb": peaks,
        "time_ratio_ours_to_meta": {"median": statistics.median(ratios), "all": ratios},
        "peak_ratio_ours_to_meta": peaks["ours"] / peaks["meta"],
        "machine": {
            "platform": platform.platform(),
            "threads": torch.get_num_threads(),
            "torch": version("torch"),
            "transformers": version("transformers"),
            "sam2": version("sam2"),
        },
        "runs": runs,
    }


def main() -> None:
    """Run one setting and write its result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", default=Setting.architecture)
    parser.add_argument("--side", type=int, default=Setting.side)
    parser.add_argument("--frames", type=int, default=Setting.frames)
    parser.add_argument("--objects", type=int, default=Setting.objects)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--child", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--setting", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        fields = json.loads(options.setting)
        setting = Setting(**fields | {"trainable": tuple(fields["trainable"])})
        print(json.dumps(measure(options.child, setting, options.steps)))
        return
    setting = Setting(options.architecture, options.side, options.frames, options.objects)
    result = compare(setting, options.rounds, options.steps)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{setting.name}.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({k: v for k, v in result.items() if k != "runs"}, indent=2))
    print(f"written to {path}")


if __name__ == "__main__":
    main()
