"""Comparison with Meta's where its gradient, at a kink of a ReLU, has two values."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from tests.model.gaps import Gap, compare, excesses
from tests.model.parity import Case, Said, make_clips, meta_says


def compare_with_meta(
    ours: Said, meta: Any, case: Case, losses: Sequence[str]
) -> tuple[Gap, Gap | None]:
    """Return how far ours is from Meta's, and how far Meta's jumps, if that decided.

    Where a ReLU's input is 0 to within rounding, the gradient jumps while outputs and loss hardly
    change: rounding decides on which side of the kink a side stands. So where ours is out of
    tolerance, Meta's is also asked about pixels moved by one rounding: all up, all down, each to a
    side of its own. Ours has to agree with one of its answers within the same tolerances; the jump
    is Meta's from itself.
    """
    theirs = meta_says(meta, case, losses, clicks=ours.clicks)
    gap = compare(ours, theirs)
    if excesses(gap):
        for pixels in _roundings(make_clips(case)[0]):
            moved = meta_says(meta, case, losses, pixels, ours.clicks)
            if not excesses(other := compare(ours, moved)):
                return other, compare(moved, theirs)
    return gap, None


def _roundings(pixels: Tensor) -> Iterator[Tensor]:
    yield torch.nextafter(pixels, torch.full_like(pixels, math.inf))
    yield torch.nextafter(pixels, torch.full_like(pixels, -math.inf))
    for seed in range(4):
        noise = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(seed))
        yield torch.nextafter(pixels, noise.sign() * math.inf)
