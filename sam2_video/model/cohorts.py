"""Values of streaming: objects that share one layout of memory, with what was said of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from sam2_video.model.memory import MemoryBank, MemoryEntry


@dataclass(frozen=True)
class Said:
    """What was said of some objects on one frame, at the mask decoder's size."""

    object_ids: tuple[int, ...]
    mask_logits: Float[Tensor, "objects height width"]
    object_scores: Float[Tensor, " objects"]

    def select(self, object_ids: Sequence[int]) -> "Said":
        """Return what was said of some of the objects, in the order asked for."""
        if tuple(object_ids) == self.object_ids:
            return self
        rows = [self.object_ids.index(name) for name in object_ids]
        return Said(tuple(object_ids), self.mask_logits[rows], self.object_scores[rows])


def join(parts: Sequence[Said]) -> Said:
    """Return what was said of different objects, by rising id."""
    joined = Said(
        tuple(name for part in parts for name in part.object_ids),
        torch.cat([part.mask_logits for part in parts]),
        torch.cat([part.object_scores for part in parts]),
    )
    return joined.select(sorted(joined.object_ids))


@dataclass(frozen=True)
class StreamCohort:
    """Objects of a stream that run together: they were prompted on the same frames.

    `origin` are the frames tracked first, which a pass in the other direction will read.
    """

    object_ids: tuple[int, ...]
    bank: MemoryBank
    origin: tuple[MemoryEntry, ...] = ()

    @property
    def prompted_frames(self) -> set[int]:
        """Return the frames on which these objects were shown."""
        return {entry.frame for entry in self.bank.conditioning}

    def select(self, object_ids: Sequence[int]) -> "StreamCohort":
        """Return the cohort of some of its objects, in their order."""
        if len(object_ids) == len(self.object_ids):
            return self
        rows = [self.object_ids.index(name) for name in object_ids]
        origin = tuple(entry.select(rows) for entry in self.origin)
        return StreamCohort(tuple(object_ids), self.bank.select(rows), origin)


def split(cohort: StreamCohort, max_objects: int) -> list[StreamCohort]:
    """Return the cohort in parts of at most so many objects: what runs together takes memory."""
    names = cohort.object_ids
    starts = range(0, len(names), max_objects)
    return [cohort.select(names[start : start + max_objects]) for start in starts]


def regroup(
    cohorts: Sequence[StreamCohort], names: Sequence[int], entry: MemoryEntry
) -> list[StreamCohort]:
    """Return the cohorts after `names`, some of which may be new, were prompted together.

    Objects that were shown leave those that were not: from now on their memories differ in layout.
    """
    known = {name for cohort in cohorts for name in cohort.object_ids}
    grouped = []
    for cohort in cohorts:
        others = [name for name in cohort.object_ids if name not in names]
        shown = [name for name in cohort.object_ids if name in names]
        if others:
            grouped.append(cohort.select(others))
        if shown:
            grouped.append(_remember(cohort.select(shown), names, entry))
    new = tuple(name for name in names if name not in known)
    if new:
        grouped.append(_remember(StreamCohort(new, MemoryBank()), names, entry))
    return grouped


def _remember(cohort: StreamCohort, names: Sequence[int], entry: MemoryEntry) -> StreamCohort:
    """Return the cohort with its rows of an entry that belongs to `names`."""
    rows = [names.index(name) for name in cohort.object_ids]
    return replace(cohort, bank=cohort.bank.append(entry.select(rows)))
