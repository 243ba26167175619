"""Meta's side: `SAM2Train` and its official loss, with our weights, on our clip."""

from types import SimpleNamespace

import torch
from torch import Tensor

from benchmarks.step.contestant import (
    LEARNING_RATE,
    Contestant,
    find_dtype,
    load_model,
    make_clip,
)
from benchmarks.step.settings import EVERYTHING, Problem, Way
from tests.model.meta_clicks import Clicks, prepare_clicks
from tests.model.meta_oracle import build_meta, meta_batch, meta_loss

WEIGHT_DECAY = 0.01


def prepare(problem: Problem, way: Way) -> Contestant:
    """Return Meta's side.

    It draws its own points and clicks, as many as ours.
    """
    device = torch.device(problem.device)
    is_point = float(problem.prompt == "point")
    meta = build_meta(
        load_model(problem, dropout=0.0),
        dropout=way.dropout,
        prob_to_use_pt_input_for_train=is_point,
        prob_to_use_box_input_for_train=0.0,
    )
    clicks = Clicks(num_frames=1, num_clicks=problem.clicks) if problem.clicks else None
    prepare_clicks(meta, clicks, num_conditioning=1)
    for name, parameter in meta.named_parameters():
        is_learning = problem.trainable == EVERYTHING or name.startswith(problem.trainable)
        parameter.requires_grad_(is_learning)
    meta.to(device).train()
    clip = make_clip(problem).to(device)
    object_clip = torch.zeros(problem.objects, dtype=torch.long, device=device)
    batch = meta_batch(clip.pixels, clip.masks, object_clip)
    criterion = SimpleNamespace(compute=meta_loss())
    learning = [p for p in meta.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(learning, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)

    def compute_loss(read: SimpleNamespace) -> Tensor:
        return criterion.compute(meta(read), read.masks)["core_loss"]

    places = [
        (meta, "forward_image", "encoder"),
        (meta, "_prepare_memory_conditioned_features", "memory attention"),
        (meta, "_forward_sam_heads", "decoder"),
        (meta, "_use_mask_as_output", "decoder"),
        (meta, "_iter_correct_pt_sampling", "decoder"),
        (meta, "_encode_new_memory", "memory encoder"),
        (criterion, "compute", "losses"),
    ]
    return Contestant(
        meta, lambda: batch, compute_loss, optimiser, places, find_dtype(way.precision)
    )
