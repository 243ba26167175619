"""The tracker's memory as a value: entries, the bank that holds them, and what a frame reads."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from sam2_video.structures import send


@dataclass(frozen=True)
class MemoryEntry:
    """What one frame leaves behind for each object of a cohort.

    `features` is the memory encoder's output with flattened positions; None where it will not be
    read any more, or was never encoded.
    """

    frame: int
    is_conditioning: bool
    features: Float[Tensor, "objects tokens channels"] | None
    pointers: Float[Tensor, "objects pointer_channels"]

    def select(self, rows: Sequence[int]) -> "MemoryEntry":
        """Return the entry of some of its objects."""
        index = send(torch.tensor(rows), self.pointers.device)
        features = None if self.features is None else self.features[index]
        return replace(self, features=features, pointers=self.pointers[index])

    def detach(self) -> "MemoryEntry":
        """Return the entry cut from the graph."""
        features = None if self.features is None else self.features.detach()
        return replace(self, features=features, pointers=self.pointers.detach())


def merge_entries(parts: Sequence[MemoryEntry], rows: Sequence[int]) -> MemoryEntry:
    """Join entries of one frame for different objects; `rows` are the places of the joined rows."""
    if len(parts) == 1:
        return parts[0]
    features = [part.features for part in parts if part.features is not None]
    joined = replace(
        parts[0],
        features=torch.cat(features) if features else None,
        pointers=torch.cat([part.pointers for part in parts]),
    )
    return joined.select([rows.index(place) for place in range(len(rows))])


@dataclass(frozen=True)
class MemoryBank:
    """All entries of one cohort: objects that share their conditioning frames. Never changed."""

    conditioning: tuple[MemoryEntry, ...] = ()
    tracked: tuple[MemoryEntry, ...] = ()

    def append(self, entry: MemoryEntry) -> "MemoryBank":
        """Return a bank with one more entry."""
        if entry.is_conditioning:
            return replace(self, conditioning=(*self.conditioning, entry))
        return replace(self, tracked=(*self.tracked, entry))

    def detach(self) -> "MemoryBank":
        """Return the bank cut from the graph: no gradient flows to frames before."""
        return MemoryBank(
            tuple(entry.detach() for entry in self.conditioning),
            tuple(entry.detach() for entry in self.tracked),
        )

    def select(self, rows: Sequence[int]) -> "MemoryBank":
        """Return the bank of some of its objects."""
        return MemoryBank(
            tuple(entry.select(rows) for entry in self.conditioning),
            tuple(entry.select(rows) for entry in self.tracked),
        )

    def spatial(
        self, frame: int, num_slots: int, is_reverse: bool = False
    ) -> list[tuple[int, MemoryEntry]]:
        """Return (temporal slot, entry) of the spatial memories that `frame` reads, in order.

        Conditioning frames come first, all in the last slot (`num_slots - 1`); then frames t-6
        .. t-1 in slots 5 .. 0 (with `num_slots` 7), those that exist.
        """
        sign = -1 if is_reverse else 1
        read = [(num_slots - 1, entry) for entry in self.conditioning]
        by_distance = {sign * (frame - entry.frame): entry for entry in self.tracked}
        for distance in range(num_slots - 1, 0, -1):
            if distance in by_distance:
                read.append((distance - 1, by_distance[distance]))
        return read

    def pointers(
        self, frame: int, max_pointers: int, is_training: bool, is_reverse: bool = False
    ) -> list[tuple[int, MemoryEntry]]:
        """Return (signed distance in frames, entry) of the object pointers that `frame` reads.

        All conditioning frames in training, only past ones in evaluation; then t-1, t-2, ... up
        to `max_pointers - 1` frames back.
        """
        sign = -1 if is_reverse else 1
        read = [
            (distance, entry)
            for entry in self.conditioning
            if (distance := sign * (frame - entry.frame)) >= 0 or is_training
        ]
        by_distance = {sign * (frame - entry.frame): entry for entry in self.tracked}
        read += [
            (distance, by_distance[distance])
            for distance in range(1, max_pointers)
            if distance in by_distance
        ]
        return read

    def forget(
        self, frame: int, num_slots: int, max_pointers: int, is_reverse: bool = False
    ) -> "MemoryBank":
        """Return the bank without what no frame after `frame` will read: bounded for any video."""
        sign = -1 if is_reverse else 1
        kept = []
        for entry in self.tracked:
            distance = sign * (frame + sign - entry.frame)
            if distance < num_slots:
                kept.append(entry)
            elif distance < max_pointers:
                kept.append(replace(entry, features=None))
        return replace(self, tracked=tuple(kept))
