"""AdamW and its learning rate: linear warm-up, then a cosine or nothing, step by step."""

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from sam2_video.config import TrainerConfig


def learning_rate_factor(step: int, num_steps: int, settings: TrainerConfig) -> float:
    """Return the share of the full learning rate at a step: linear warm-up, then the schedule.

    >>> learning_rate_factor(0, 100, TrainerConfig(warmup_fraction=0.1))
    0.1
    """
    num_warmup = math.ceil(settings.warmup_fraction * num_steps)
    if step < num_warmup:
        return (step + 1) / num_warmup
    if settings.lr_scheduler == "constant":
        return 1.0
    progress = min((step - num_warmup) / max(num_steps - num_warmup, 1), 1.0)
    floor = settings.min_lr_fraction
    return floor + (1 - floor) * (1 + math.cos(math.pi * progress)) / 2


def build_optimiser(
    parameters: Iterable[nn.Parameter], settings: TrainerConfig, num_steps: int
) -> tuple[torch.optim.AdamW, LambdaLR]:
    """Return AdamW over what learns, without decay of biases and norms, and its schedule."""
    learning = [parameter for parameter in parameters if parameter.requires_grad]
    groups = [
        {"params": [p for p in learning if p.ndim > 1], "is_decayed": True},
        {"params": [p for p in learning if p.ndim <= 1], "is_decayed": False},
    ]
    optimiser = torch.optim.AdamW([group for group in groups if group["params"]], lr=settings.lr)
    schedule = LambdaLR(optimiser, lambda step: learning_rate_factor(step, num_steps, settings))
    follow_settings(schedule, settings)
    return optimiser, schedule


def follow_settings(schedule: LambdaLR, settings: TrainerConfig) -> None:
    """Set the rates and decays as configured, where a checkpoint has brought others along."""
    groups = schedule.optimizer.param_groups
    schedule.base_lrs = [settings.lr] * len(groups)
    for group, factor in zip(groups, schedule.lr_lambdas, strict=True):
        group["initial_lr"] = settings.lr
        group["lr"] = settings.lr * factor(schedule.last_epoch)
        group["weight_decay"] = settings.weight_decay if group["is_decayed"] else 0.0
