"""AdamW and its learning rate: linear warm-up, then a cosine or nothing, step by step."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from sam2_video.config import TrainerConfig
from sam2_video.training.parameter_groups import group_parameters

FUSED_DEVICES = {"cpu", "cuda"}
"""Those for which PyTorch has a fused AdamW."""


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
    parameters: Iterable[tuple[str, nn.Parameter]], settings: TrainerConfig, num_steps: int
) -> tuple[torch.optim.AdamW, LambdaLR]:
    """Return AdamW over what learns, in groups of one rate and decay, and its schedule.

    Args:
        parameters: of the network, by name, learning or not.
        settings: rates, decays and schedule.
        num_steps: that the schedule takes.

    Raises:
        ValueError: a name or glob of the settings matches nothing; says which.
    """
    groups = [
        {
            "params": list(group.parameters.items()),
            "lr": group.rate,
            "weight_decay": group.decay,
        }
        for group in group_parameters(parameters, settings)
    ]
    optimiser = make_adamw(groups)
    return optimiser, LambdaLR(
        optimiser, lambda step: learning_rate_factor(step, num_steps, settings)
    )


def make_adamw(groups: list[dict[str, Any]]) -> torch.optim.AdamW:
    """Return AdamW whose step is one kernel over all parameters, where their devices have it."""
    devices = {parameter.device.type for group in groups for _, parameter in group["params"]}
    optimiser = torch.optim.AdamW(groups, fused=devices <= FUSED_DEVICES)
    # the fused kernel could undo the loss scale of 16-mixed by itself, and then PyTorch and
    # Lightning would leave the gradients scaled until then: clipping needs the true ones
    optimiser._step_supports_amp_scaling = False
    return optimiser


def rates_now(schedule: LambdaLR, settings: TrainerConfig) -> dict[str, float]:
    """Return the rate of the coming step, and that of each name or glob with a rate of its own."""
    factor = schedule.lr_lambdas[0](schedule.last_epoch)
    own = {f"lr-{pattern}": rate * factor for pattern, rate in settings.lr_by_name.items()}
    return {"lr-AdamW": settings.lr * factor} | own


def follow_settings(
    state: dict[str, Any], parameters: Iterable[tuple[str, nn.Parameter]], settings: TrainerConfig
) -> dict[str, Any]:
    """Return an optimiser's saved state in the groups, rates and decays that are configured now.

    The moments stay with their parameters, whose names the state holds.
    """
    moments = {
        name: state["state"][index]
        for name, index in named_indices(state).items()
        if index in state["state"]
    }
    optimiser, _ = build_optimiser(parameters, settings, num_steps=1)
    own = optimiser.state_dict()
    places = named_indices(own)
    return own | {"state": {places[name]: value for name, value in moments.items()}}


def follow_schedule(schedule: LambdaLR) -> None:
    """Set the rates to those of the schedule's step, where a checkpoint has set it."""
    groups = schedule.optimizer.param_groups
    schedule.base_lrs = [group["initial_lr"] for group in groups]
    for group, factor in zip(groups, schedule.lr_lambdas, strict=True):
        group["lr"] = group["initial_lr"] * factor(schedule.last_epoch)


def named_indices(state: dict[str, Any]) -> dict[str, int]:
    """Return the place of each parameter, by name, in an optimiser's state."""
    return {
        name: index
        for group in state["param_groups"]
        for name, index in zip(group["param_names"], group["params"], strict=True)
    }
