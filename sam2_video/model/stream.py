"""Tracking through a whole video, one frame at a time, with memory that stays bounded."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor
from torch.nn import functional as F
from transformers import Sam2VideoModel

from sam2_video.model.heads import FrameFeatures
from sam2_video.model.memory import MemoryBank
from sam2_video.model.tracker import track_frame
from sam2_video.structures import FrameOutput, Prompt

BOX_CORNER_LABELS = (2, 3)
POINT_LABELS = (1, 0, -1)


@dataclass(frozen=True)
class ObjectPrompt:
    """How one object is shown on one frame, in pixels of that frame.

    Exactly one of: `mask` (non-zero = object); `box` (x0, y0, x1, y1); `points` (x, y) with
    `labels` (1 on the object, 0 beside it, -1 no point at all).

    Raises:
        ValueError: not exactly one of them, or one that makes no sense.
    """

    object_id: int
    frame: int
    mask: Shaped[Tensor, "height width"] | None = None
    box: Sequence[float] | None = None
    points: Sequence[Sequence[float]] | None = None
    labels: Sequence[int] | None = None

    def __post_init__(self) -> None:
        problem = self._find_problem()
        if problem is not None:
            raise ValueError(f"prompt of object {self.object_id} on frame {self.frame}: {problem}")

    def _find_problem(self) -> str | None:
        given = sum(x is not None for x in (self.mask, self.box, self.points))
        if given != 1:
            return f"got {given} of mask, box, points; expected exactly one"
        if self.box is not None and len(self.box) != 4:
            return f"got the box {tuple(self.box)}; expected x0, y0, x1, y1"
        return None if self.points is None else _find_point_problem(self.points, self.labels or ())


def _find_point_problem(points: Sequence[Sequence[float]], labels: Sequence[int]) -> str | None:
    if not len(points):
        return "got no points; expected at least one"
    for point in points:
        if len(point) != 2:
            return f"got the point {tuple(point)}; expected x, y"
    if len(labels) != len(points):
        return f"got {len(points)} points and {len(labels)} labels; expected as many of both"
    if not set(labels) <= set(POINT_LABELS):
        return f"got labels {list(labels)}; expected 1 (on the object), 0 (beside it), -1 (padding)"
    return None


@dataclass(frozen=True)
class TrackedFrame:
    """The objects of one frame, at the frame's own size: those prompted so far, by rising id."""

    index: int
    object_ids: tuple[int, ...]
    mask_logits: Float[Tensor, "objects height width"]
    object_scores: Float[Tensor, " objects"]

    @property
    def masks(self) -> Bool[Tensor, "objects height width"]:
        """Return the binary masks: logits above 0."""
        return self.mask_logits > 0


@dataclass(frozen=True)
class _Cohort:
    """Objects that run together: their memory has one layout."""

    object_ids: tuple[int, ...]
    bank: MemoryBank
    prompt: Prompt | None = None

    def without(self, names: set[int]) -> "_Cohort | None":
        """Return the cohort without some objects; None where nobody is left."""
        rows = [row for row, name in enumerate(self.object_ids) if name not in names]
        if len(rows) == len(self.object_ids):
            return self
        if not rows:
            return None
        return _Cohort(tuple(self.object_ids[row] for row in rows), self.bank.select(rows))


class StreamTracker:
    """Tracks objects through frames given one after another, each object independently.

    An object may be prompted on any frame, and again on later ones, which then count as further
    conditioning frames. With `is_memory_used` False the memory is emptied after each frame: what
    the network says without it.
    """

    def __init__(
        self,
        network: Sam2VideoModel,
        image_size: tuple[int, int],
        num_frames: int | None = None,
        is_memory_used: bool = True,
    ) -> None:
        self._network = network
        self._image_size = image_size
        self._num_frames = num_frames
        self._is_memory_used = is_memory_used
        self._cohorts: list[_Cohort] = []
        self._index = 0

    def step(
        self, features: FrameFeatures, size: tuple[int, int], prompts: Sequence[ObjectPrompt]
    ) -> TrackedFrame:
        """Track one frame of (height, width) `size`, given its features and its prompts."""
        tracked = [self._track(cohort, features) for cohort in self._schedule(prompts, size)]
        self._cohorts = [cohort for cohort, _ in tracked]
        logits: dict[int, Tensor] = {}
        scores: dict[int, Tensor] = {}
        for _, output in tracked:
            at_size = F.interpolate(output.best_mask_logits.unsqueeze(1), size, mode="bilinear")
            logits |= dict(zip(output.objects, at_size.squeeze(1), strict=True))
            scores |= dict(zip(output.objects, output.object_score_logits, strict=True))
        names = tuple(sorted(logits))
        empty = torch.zeros(0, *size, device=self._network.device)
        frame = TrackedFrame(
            self._index,
            names,
            torch.stack([logits[name] for name in names]) if names else empty,
            torch.stack([scores[name] for name in names]) if names else empty[:, 0, 0],
        )
        self._index += 1
        return frame

    def _track(self, cohort: _Cohort, features: FrameFeatures) -> tuple[_Cohort, FrameOutput]:
        """Track one cohort on this frame; return it with its memory of the frame."""
        network = self._network
        rows = torch.zeros(len(cohort.object_ids), dtype=torch.long, device=network.device)
        output, entry = track_frame(
            network,
            features.select(rows),
            cohort.bank,
            self._index,
            cohort.object_ids,
            cohort.prompt,
            self._num_frames,
            is_training=False,
            is_memory_needed=self._is_memory_used,
        )
        bank = cohort.bank
        if self._is_memory_used:
            max_pointers = network.config.max_object_pointers_in_encoder
            bank = bank.append(entry).forget(self._index, network.num_maskmem, max_pointers)
        return _Cohort(cohort.object_ids, bank), output

    def _schedule(self, prompts: Sequence[ObjectPrompt], size: tuple[int, int]) -> list[_Cohort]:
        """Return the cohorts of this frame: those that go on, then the newly prompted."""
        prompted = {prompt.object_id for prompt in prompts}
        if len(prompted) < len(prompts):
            raise ValueError(
                f"frame {self._index}: got {len(prompts)} prompts for the objects "
                f"{sorted(prompted)}; expected one for each"
            )
        memories = {
            name: cohort.bank.select([row])
            for cohort in self._cohorts
            for row, name in enumerate(cohort.object_ids)
            if name in prompted
        }
        work = [rest for cohort in self._cohorts if (rest := cohort.without(prompted)) is not None]
        groups: dict[tuple[object, ...], list[ObjectPrompt]] = {}
        for prompt in prompts:
            # an object with a past of its own cannot share a memory's layout with others
            again = prompt.object_id if prompt.object_id in memories else None
            kind = ("mask",) if prompt.mask is not None else ("points", _num_points(prompt))
            groups.setdefault((*kind, again), []).append(prompt)
        for group in groups.values():
            names = tuple(prompt.object_id for prompt in group)
            bank = memories.get(names[0], MemoryBank())
            work.append(_Cohort(names, bank, self._to_model(group, size)))
        return work

    def _to_model(self, group: Sequence[ObjectPrompt], size: tuple[int, int]) -> Prompt:
        """Return prompts of one kind in pixels of the model's input."""
        names = tuple(prompt.object_id for prompt in group)
        device = self._network.device
        if group[0].mask is not None:
            masks = torch.stack([_given_mask(prompt, size) for prompt in group]).to(device)
            masks = F.interpolate(masks.unsqueeze(1), self._image_size, mode="nearest-exact")
            return Prompt(self._index, names, masks=masks.squeeze(1))
        scale = torch.tensor([self._image_size[1] / size[1], self._image_size[0] / size[0]])
        points, labels = zip(*(_points(prompt) for prompt in group), strict=True)
        return Prompt(
            self._index,
            names,
            points=(torch.stack(points) * scale).to(device),
            labels=torch.stack(labels).to(device),
        )


def _num_points(prompt: ObjectPrompt) -> int:
    return 2 if prompt.points is None else len(prompt.points)


def _given_mask(prompt: ObjectPrompt, size: tuple[int, int]) -> Tensor:
    if prompt.mask is None or tuple(prompt.mask.shape) != size:
        got = None if prompt.mask is None else tuple(prompt.mask.shape)
        raise ValueError(
            f"prompt of object {prompt.object_id} on frame {prompt.frame}: mask of size {got}; "
            f"expected the frame's {size}"
        )
    return (prompt.mask > 0).float()


def _points(prompt: ObjectPrompt) -> tuple[Tensor, Tensor]:
    if prompt.box is not None:
        corners = torch.tensor(list(prompt.box), dtype=torch.float32).reshape(2, 2)
        return corners, torch.tensor(BOX_CORNER_LABELS, dtype=torch.int32)
    points = torch.tensor([list(point) for point in prompt.points or ()], dtype=torch.float32)
    return points, torch.tensor(list(prompt.labels or ()), dtype=torch.int32)
