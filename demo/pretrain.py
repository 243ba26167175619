"""Pre-train the demo's small SAM 2 on generated images, then on generated clips.

The seeded recipe behind `demo/micro.pt`: `python -m demo.pretrain --out FILE`, about two hours on
one core. A stage depends on the seed and on the weights that it starts from alone, so a recipe
that was broken off goes on with `--weights FILE --first STAGE`. At the end the last layers of the
memory encoder are drawn anew: the checkpoint knows how to read memory but not how to write it,
which is what the demo's fine-tuning has to teach.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sam2_video.config import LossConfig, PromptConfig
from sam2_video.data.synthetic import AREA_RANGE, render_video
from sam2_video.losses import clip_loss
from sam2_video.model.sam2 import SAM2Model
from sam2_video.model.writing import write_meta
from sam2_video.pixels import prepare_frames
from sam2_video.prompts import draw_prompts

SIZE = (128, 128)
FIRST_SEED = 10_000_000
"""Videos of the demo have small seeds: none of them is seen here."""
LOSSES = LossConfig(bce=1.0, focal=0.0, dice=1.0, iou_prediction=0.2, object_score=0.2)


@dataclass(frozen=True)
class Stage:
    """One part of the recipe: how long the clips are and how they are prompted."""

    name: str
    num_videos: int
    rendered_frames: int
    clip_length: int
    batch_size: int
    num_steps: int
    lr: float
    prompts: PromptConfig
    area_range: tuple[float, float] = AREA_RANGE


STAGES = (
    Stage("images", 6000, 1, 1, 16, 1400, 1.5e-3, PromptConfig(mask=0.0, box=0.4, point=0.6)),
    Stage("clips", 1200, 7, 4, 6, 1600, 1.0e-3, PromptConfig(mask=0.7, box=0.15, point=0.15)),
    Stage(
        *("long clips", 600, 16, 8, 4, 1000, 8.0e-4),
        PromptConfig(mask=0.7, box=0.15, point=0.15),
        area_range=(0.06, 0.18),
    ),
    Stage(
        *("more long clips", 2000, 16, 8, 4, 2000, 8.0e-4),
        PromptConfig(mask=0.7, box=0.15, point=0.15),
        area_range=(0.06, 0.18),
    ),
)


@dataclass(frozen=True)
class Batch:
    """Clips at the model's size; `targets` and `object_clip` as in `structures.ModelClips`."""

    pixels: Tensor
    targets: Tensor
    object_clip: list[int]
    prompt_frames: tuple[int, ...]
    seeds: tuple[int, ...]


def draw_batches(stage: Stage, seed: int) -> Iterator[Batch]:
    """Yield the stage's batches, all of them following from the seed."""
    videos = [
        render_video(
            FIRST_SEED + index, stage.rendered_frames, SIZE, 2 + index % 3, stage.area_range
        )
        for index in range(stage.num_videos)
    ]
    rng = np.random.default_rng(seed)
    for step in range(stage.num_steps):
        frames, masks, object_clip, prompt_frames = [], [], [], []
        for clip in range(stage.batch_size):
            video = videos[rng.integers(stage.num_videos)]
            last = stage.rendered_frames - 1
            stride = int(rng.integers(1, max(last // max(stage.clip_length - 1, 1), 1) + 1))
            start = int(rng.integers(last - stride * (stage.clip_length - 1) + 1))
            chosen = [start + stride * i for i in range(stage.clip_length)]
            visible = (video.masks[:, chosen] > 0).flatten(2).sum(2) >= 16
            seen = visible.any(1)
            frames.append(video.frames[chosen])
            masks.append(video.masks[:, chosen][seen])
            object_clip += [clip] * int(seen.sum())
            prompt_frames += visible[seen].int().argmax(1).tolist()
        pixels = prepare_frames(torch.cat(frames), SIZE)
        yield Batch(
            pixels.unflatten(0, (stage.batch_size, stage.clip_length)),
            torch.cat(masks),
            object_clip,
            tuple(prompt_frames),
            tuple(step * stage.batch_size + clip for clip in range(stage.batch_size)),
        )


def run_stage(model: SAM2Model, stage: Stage, seed: int) -> None:
    """Train every parameter through one stage."""
    parameters = list(model.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=stage.lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, stage.lr, total_steps=stage.num_steps, pct_start=0.05
    )
    start = time.monotonic()
    for step, batch in enumerate(draw_batches(stage, seed)):
        prompts = draw_prompts(
            batch.targets, batch.prompt_frames, batch.object_clip, batch.seeds, stage.prompts
        )
        outputs = model(batch.pixels, torch.tensor(batch.object_clip), prompts)
        labelled = torch.ones(batch.targets.shape[:2], dtype=torch.bool)
        loss = clip_loss(outputs, batch.targets, labelled, LOSSES)
        optimiser.zero_grad()
        loss.total.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        if step % 100 == 0 or step == stage.num_steps - 1:
            terms = " ".join(f"{name} {float(value):.3f}" for name, value in loss.terms.items())
            seconds = time.monotonic() - start
            print(f"{stage.name} {step}/{stage.num_steps} {seconds:.0f} s {terms}", flush=True)


def forget_writing(model: SAM2Model, seed: int) -> None:
    """Draw anew the layers in which the memory encoder joins mask and frame into a memory."""
    fresh = SAM2Model.load(None, "micro", SIZE, seed=seed).network.memory_encoder
    for name in ("memory_fuser", "projection"):
        part = model.network.memory_encoder.get_submodule(name)
        part.load_state_dict(fresh.get_submodule(name).state_dict())


def main() -> None:
    """Run the recipe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--weights", help="weights to start from instead of random ones")
    parser.add_argument("--first", type=int, default=0, help="the first stage to run")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    model = SAM2Model.load(options.weights, "micro", SIZE, seed=options.seed)
    model.set_trainable(["all"])
    model.train()
    for stage in STAGES[options.first :]:
        run_stage(model, stage, options.seed)
        write_meta(model.network, options.out.with_stem(f"{options.out.stem}_full"))
    forget_writing(model, seed=1)
    write_meta(model.network, options.out)


if __name__ == "__main__":
    main()
