"""Pre-train the demo's small SAM 2 on generated still images: everything but its memory.

The recipe behind `demo/micro_images.pt`, seeded: `python -m demo.pretrain --out FILE`.
"""

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor

from sam2_video.config import LossConfig, PromptConfig
from sam2_video.data.synthetic import render_video
from sam2_video.losses import clip_loss
from sam2_video.model.checkpoint import write_meta
from sam2_video.model.sam2 import SAM2Model
from sam2_video.pixels import prepare_frames
from sam2_video.prompts import draw_prompts

SIZE = (128, 128)
LOSSES = LossConfig(bce=1.0, focal=0.0, dice=1.0, iou_prediction=0.2, object_score=0.1)
PROMPTS = PromptConfig(mask=0.0, box=0.4, point=0.6)


def render_pool(num_images: int, seed: int) -> tuple[Tensor, list[Tensor]]:
    """Render still images: frames [images 3 height width], masks [objects 1 height width] each."""
    frames, masks = [], []
    for index in range(num_images):
        video = render_video(seed + index, num_frames=1, size=SIZE, num_objects=2 + index % 4)
        visible = video.masks.flatten(1).sum(1) >= 16
        frames.append(video.frames[0])
        masks.append(video.masks[visible])
    return torch.stack(frames), masks


def main() -> None:
    """Run the recipe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    model = SAM2Model.load(None, "micro", SIZE, seed=options.seed)
    model.set_trainable(["all"])
    model.train()
    frames, masks = render_pool(options.images, 10_000_000)
    optimiser = torch.optim.AdamW(model.parameters(), lr=options.lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, options.lr, total_steps=options.steps, pct_start=0.05
    )
    order = torch.Generator().manual_seed(options.seed)
    start = time.monotonic()
    for step in range(options.steps):
        picked = torch.randint(options.images, (options.batch,), generator=order).tolist()
        chosen = [masks[index] for index in picked]
        targets = torch.cat(chosen)
        clip = torch.tensor([i for i, one in enumerate(chosen) for _ in range(len(one))])
        pixels = prepare_frames(frames[picked], SIZE).unsqueeze(1)
        prompts = draw_prompts(
            targets,
            (0,) * len(targets),
            clip,
            tuple(step * options.batch + i for i in range(options.batch)),
            PROMPTS,
        )
        outputs = model(pixels, clip, prompts)
        loss = clip_loss(outputs, targets, torch.ones(len(targets), 1, dtype=torch.bool), LOSSES)
        optimiser.zero_grad()
        loss.total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 100 == 0:
            terms = " ".join(f"{name} {float(value):.3f}" for name, value in loss.terms.items())
            print(f"step {step} {time.monotonic() - start:.0f} s {terms}", flush=True)
            write_meta(model.network, options.out)
    write_meta(model.network, options.out)


if __name__ == "__main__":
    main()
