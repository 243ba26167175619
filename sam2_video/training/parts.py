"""A batch in parts: which clips and objects are computed together, and what they are shown."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sam2_video.model.unroll import Given, select_objects


@dataclass(frozen=True)
class Part:
    """Neighbouring rows of the ragged object axis."""

    first: int
    end: int

    def take(self, prompts: Sequence[Given]) -> list[Given]:
        """Return what prompts or corrections say of these rows, which are numbered from 0 again."""
        taken = []
        for prompt in prompts:
            rows = [row for row, name in enumerate(prompt.objects) if self.first <= name < self.end]
            if rows:
                part = select_objects(prompt, rows)
                names = tuple(name - self.first for name in part.objects)
                taken.append(replace(part, objects=names))
        return taken


@dataclass(frozen=True)
class ClipGroup:
    """Neighbouring clips whose frames are encoded together, and the parts of their objects."""

    first: int
    end: int
    parts: tuple[Part, ...]


def divide(
    num_objects: Sequence[int], clips_at_once: int | None, objects_at_once: int | None
) -> list[ClipGroup]:
    """Divide clips of so many objects each; None = all at once.

    >>> divide([2, 3], None, 4)
    [ClipGroup(first=0, end=2, parts=(Part(first=0, end=4), Part(first=4, end=5)))]
    """
    num_clips, groups = len(num_objects), []
    clips_at_once = clips_at_once or num_clips
    for first in range(0, num_clips, clips_at_once):
        end = min(first + clips_at_once, num_clips)
        rows = range(sum(num_objects[:first]), sum(num_objects[:end]))
        step = objects_at_once or max(len(rows), 1)
        parts = (Part(row, min(row + step, rows.stop)) for row in rows[::step])
        groups.append(ClipGroup(first, end, tuple(parts)))
    return groups
