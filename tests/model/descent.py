"""AdamW steps of ours and of Meta's on the same batches, side by side."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sam2_video.model.keymap import from_meta
from tests.model.gaps import TensorGap, compare_tensors
from tests.model.parity import Case, build_both, draw_user, meta_says, ours_says

PROMPTS = ("mask", "point", "box")


@dataclass(frozen=True)
class Descent:
    """How far apart two descents are: the losses of each step, and the parameters at the end.

    `moved` compares how far the parameters went from where they began, which a step that did
    nothing, or something else, would not pass.
    """

    our_losses: tuple[float, ...]
    losses: tuple[float, ...]
    parameters: TensorGap
    moved: TensorGap


def batches(case: Case, num_steps: int) -> list[Case]:
    """Return cases of other clips each, with every kind of prompt on one and two frames."""
    return [
        replace(case, seed=step, prompt=PROMPTS[step % 3], num_conditioning=1 + step % 2)
        for step in range(num_steps)
    ]


def descend(case: Case, num_steps: int, lr: float) -> Descent:
    """Take AdamW steps on the official loss with both, all parameters learning."""
    model, meta = build_both(case)
    start = _copy(dict(model.network.named_parameters()))
    our_optimiser = torch.optim.AdamW(model.parameters(), lr=lr)
    meta_optimiser = torch.optim.AdamW(meta.parameters(), lr=lr)
    our_losses, gaps = [], []
    for batch in batches(case, num_steps):
        user = draw_user(meta, batch)
        ours = _step(our_optimiser, ours_says(model, batch, user).loss)
        theirs = _step(meta_optimiser, meta_says(meta, batch).loss)
        our_losses.append(ours)
        gaps.append(abs(1 - ours / theirs))
    ours = _copy(dict(model.network.named_parameters()))
    theirs = from_meta(_copy(dict(meta.named_parameters())))
    return Descent(
        our_losses=tuple(our_losses),
        losses=tuple(gaps),
        parameters=compare_tensors(ours, theirs),
        moved=compare_tensors(_moved(ours, start), _moved(theirs, start)),
    )


def _step(optimiser: torch.optim.Optimizer, loss: Tensor) -> float:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return float(loss.detach())


def _copy(parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in parameters.items()}


def _moved(parameters: dict[str, Tensor], start: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: parameters[name] - tensor for name, tensor in start.items()}
