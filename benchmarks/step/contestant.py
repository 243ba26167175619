"""One side of the comparison, and the step that both sides do in the same way."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from benchmarks.step.settings import Problem
from benchmarks.step.timeline import BACKWARD, DATA, OPTIMISER, OTHER, Place, Timeline
from sam2_video.model.sam2 import SAM2Model
from tests.model.meta_oracle import jitter

LEARNING_RATE = 1e-5
LARGEST_NORM = 1.0
_SURELY_PRESENT = 20.0


@dataclass(frozen=True)
class Contestant:
    """A network that learns, and what its step is made of.

    `read` returns the batch, and `compute_loss` the official loss of it. `places` are the functions
    that are parts of the forward pass.
    """

    network: nn.Module
    read: Callable[[], Any]
    compute_loss: Callable[[Any], Tensor]
    optimiser: torch.optim.Optimizer
    places: list[Place]
    dtype: torch.dtype

    def step(self, timeline: Timeline) -> tuple[Tensor, Tensor]:
        """Take one step of optimisation; return the loss and the gradient's norm."""
        with timeline.part(DATA):
            batch = self.read()
        with timeline.part(OTHER), self._precision():
            loss = self.compute_loss(batch)
        with timeline.part(BACKWARD):
            loss.backward()
        with timeline.part(OPTIMISER):
            learning = [p for p in self.network.parameters() if p.requires_grad]
            norm = clip_grad_norm_(learning, LARGEST_NORM)
            self.optimiser.step()
            self.optimiser.zero_grad()
        return loss.detach(), norm

    @contextmanager
    def _precision(self) -> Iterator[None]:
        kind = next(self.network.parameters()).device.type
        with torch.autocast(kind, self.dtype, enabled=self.dtype != torch.float32):
            yield


@dataclass(frozen=True)
class MadeClip:
    """Pixels [1 frames 3 side side], masks [objects frames side side], a point in each first mask.

    `places` say where in the region of errors each correction lies.
    """

    pixels: Tensor
    masks: Tensor
    points: Tensor
    places: Tensor

    def to(self, device: torch.device) -> "MadeClip":
        """Return the clip on a device."""
        return MadeClip(*(tensor.to(device) for tensor in vars(self).values()))


def make_clip(problem: Problem) -> MadeClip:
    """Draw the clip of a problem: the same for all who ask."""
    generator = torch.Generator().manual_seed(0)
    side, count = problem.side, problem.objects
    pixels = torch.randn(1, problem.frames, 3, side, side, generator=generator)
    masks = torch.zeros(count, problem.frames, side, side, dtype=torch.bool)
    points = torch.zeros(count, 1, 2)
    for row in range(count):
        top = row * side // (count + 1)
        masks[row, :, top : top + side // 3, side // 4 : side // 2] = True
        points[row, 0] = torch.tensor([side * 3 / 8, top + side / 6]).floor()
    places = torch.rand(count, problem.clicks, generator=generator)
    return MadeClip(pixels, masks, points, places)


def load_model(problem: Problem, dropout: float) -> SAM2Model:
    """Return the network with the random weights of all contestants.

    Every parameter is moved, and objects are judged present: an absent one has no gradient.
    """
    size = (problem.side, problem.side)
    model = SAM2Model.load(None, problem.architecture, size, memory_attention_dropout=dropout)
    jitter(model, seed=1)
    with torch.no_grad():
        model.network.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(_SURELY_PRESENT)
    return model


def find_dtype(precision: str) -> torch.dtype:
    """Return what matrices are multiplied in."""
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
