"""The state of tracking through one whole video: who is tracked, and what is remembered of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F
from transformers import Sam2VideoModel

from sam2_video.model.cohorts import Said, StreamCohort, join, regroup, split
from sam2_video.model.correction import Clicks
from sam2_video.model.heads import FrameFeatures
from sam2_video.model.memory import MemoryBank, MemoryEntry, merge_entries
from sam2_video.model.object_prompt import ObjectPrompt
from sam2_video.model.rounds import rounds_of, rounds_to_model
from sam2_video.model.tracker import encode_memory, track_frame
from sam2_video.structures import FrameOutput, Prompt

MEMORY_DTYPE = torch.bfloat16
"""Spatial memory is kept in half the space, as in Meta's predictor."""
OBJECTS_AT_ONCE = 16
"""How many objects of a frame run together: more gain little, and take memory."""


@dataclass(frozen=True)
class TrackedFrame:
    """The objects that are tracked on one frame of (height, width) `size`, by rising id.

    The decoder's logits are enlarged when they are asked for: at the size of a 4K frame those of
    60 objects take 2 GB.
    """

    index: int
    object_ids: tuple[int, ...]
    decoder_logits: Float[Tensor, "objects decoder_height decoder_width"]
    object_scores: Float[Tensor, " objects"]
    size: tuple[int, int]

    @cached_property
    def mask_logits(self) -> Float[Tensor, "objects height width"]:
        """The mask logits at the frame's own size."""
        return self.enlarge(slice(None))

    @cached_property
    def masks(self) -> Bool[Tensor, "objects height width"]:
        """The binary masks at the frame's own size: logits above 0."""
        masks = [self.enlarge(slice(row, row + 1)) > 0 for row in range(len(self.object_ids))]
        return torch.cat([self.enlarge(slice(0)) > 0, *masks])

    def enlarge(self, rows: slice) -> Float[Tensor, "objects height width"]:
        """Return the mask logits of some objects at the frame's own size."""
        logits = self.decoder_logits[rows]
        if not len(logits) or tuple(logits.shape[-2:]) == self.size:
            return logits if len(logits) else logits.new_zeros(0, *self.size)
        return F.interpolate(logits.unsqueeze(1), self.size, mode="bilinear").squeeze(1)


class StreamTracker:
    """Tracks objects through the frames of a video, each object independently of the others.

    `condition` shows objects on a frame, `step` tracks a frame. What `condition` was told before
    a frame's `step` is what the frame knows: prompts given one after another with the frames leave
    a causal tracker; prompts given for all frames beforehand leave Meta's video predictor, in
    which a frame also reads the memory of prompted frames in its future.
    """

    def __init__(
        self,
        network: Sam2VideoModel,
        image_size: tuple[int, int],
        num_frames: int | None = None,
        is_memory_used: bool = True,
        *,
        start: int | None = None,
        is_reverse: bool = False,
        will_turn: bool = False,
        max_objects: int = OBJECTS_AT_ONCE,
    ) -> None:
        """Start with nobody to track.

        Args:
            network: SAM 2.
            image_size: height, width of its input.
            num_frames: of the video, if known (short ones read fewer pointers).
            is_memory_used: False empties the memory after each frame: what the network says
                without it.
            start: the frame from which every object is tracked; None = each from the first
                frame on which it was shown.
            is_reverse: frames come in falling order.
            will_turn: keep what the tracker that `turn` returns will read.
            max_objects: how many objects run together.
        """
        self._network = network
        self._image_size = image_size
        self._num_frames = num_frames
        self._is_memory_used = is_memory_used
        self._start = start
        self._is_reverse = is_reverse
        self._will_turn = will_turn
        self._max_objects = max_objects
        self._cohorts: list[StreamCohort] = []
        self._given: dict[int, list[Said]] = {}

    def condition(
        self,
        index: int,
        features: FrameFeatures,
        size: tuple[int, int],
        prompts: Sequence[ObjectPrompt],
    ) -> None:
        """Show objects on a frame of (height, width) `size`; from now on its memory is read.

        Several prompts of one object are rounds: see `ObjectPrompt`.
        """
        device = self._network.device
        said, entries = [], []
        shown = list(rounds_of(prompts).values())
        for start in range(0, len(shown), self._max_objects):
            together = shown[start : start + self._max_objects]
            for prompt, clicks in rounds_to_model(index, together, size, self._image_size, device):
                output, entry = self._show(prompt, clicks, features)
                said.append(output)
                entries.append(entry)
        names = [name for output in said for name in output.object_ids]
        entry = merge_entries(entries, range(len(names)))
        self._given.setdefault(index, []).extend(said)
        self._cohorts = [
            part
            for cohort in regroup(self._cohorts, names, entry)
            for part in split(cohort, self._max_objects)
        ]

    def step(
        self,
        index: int,
        features: FrameFeatures | None,
        size: tuple[int, int],
        prompts: Sequence[ObjectPrompt] = (),
    ) -> TrackedFrame:
        """Track a frame of (height, width) `size`, on which `prompts` are shown first.

        `features` may be None where there are no prompts and `reads` says that none are needed.
        """
        if prompts:
            assert features is not None
            self.condition(index, features, size, prompts)
        said = []
        for place, cohort in enumerate(self._cohorts):
            if not self._has_started(cohort, index):
                continue
            if index in cohort.prompted_frames:
                said += self._recall(cohort, index)
            else:
                assert features is not None
                self._cohorts[place], output = self._track(cohort, index, features)
                said.append(output)
        return self._join(index, said, size)

    def reads(self, index: int) -> bool:
        """Return whether `step` will need the frame's features, as the prompts stand."""
        return any(
            self._has_started(cohort, index) and index not in cohort.prompted_frames
            for cohort in self._cohorts
        )

    def turn(self) -> "StreamTracker":
        """Return a tracker for the other direction from the same start, which knows this pass."""
        other = StreamTracker(
            self._network,
            self._image_size,
            self._num_frames,
            self._is_memory_used,
            start=self._start,
            is_reverse=not self._is_reverse,
            max_objects=self._max_objects,
        )
        other._cohorts = [
            StreamCohort(cohort.object_ids, MemoryBank(cohort.bank.conditioning, cohort.origin))
            for cohort in self._cohorts
        ]
        other._given = dict(self._given)
        return other

    def _show(
        self, prompt: Prompt, clicks: Clicks | None, features: FrameFeatures
    ) -> tuple[Said, MemoryEntry]:
        """Return what is said of prompted objects after all clicks, and their memory of the frame.

        The memory is Meta's predictor's, which encodes what it stored of a prompted frame: the
        mask at the decoder's size, made binary. A given mask is no exception.
        """
        network = self._network
        images = features.seat([0] * len(prompt.objects))
        (*_, output), entry = track_frame(
            network,
            images,
            MemoryBank(),
            prompt.frame,
            prompt.objects,
            prompt,
            self._num_frames,
            is_training=False,
            is_memory_needed=False,
            corrections=clicks,
        )
        logits = _at_decoder_size(output, images)
        if self._is_memory_used:
            memory = encode_memory(
                network, images, logits.unsqueeze(1), output.object_score_logits, is_binary=True
            )
            entry = replace(entry, features=memory.to(MEMORY_DTYPE))
        return Said(output.objects, logits, output.object_score_logits), entry

    def _track(
        self, cohort: StreamCohort, index: int, features: FrameFeatures
    ) -> tuple[StreamCohort, Said]:
        """Track one cohort on this frame; return it with its memory of the frame."""
        network = self._network
        (output,), entry = track_frame(
            network,
            features.seat([0] * len(cohort.object_ids)),
            cohort.bank if self._is_memory_used else MemoryBank(),
            index,
            cohort.object_ids,
            None,
            self._num_frames,
            is_training=False,
            is_memory_needed=self._is_memory_used,
            is_reverse=self._is_reverse,
        )
        said = Said(output.objects, output.best_mask_logits, output.object_score_logits)
        if not self._is_memory_used:
            return cohort, said
        assert entry.features is not None
        entry = replace(entry, features=entry.features.to(MEMORY_DTYPE))
        max_pointers = network.config.max_object_pointers_in_encoder
        bank = cohort.bank.append(entry).forget(
            index, network.num_maskmem, max_pointers, self._is_reverse
        )
        distance = abs(index - self._start_of(cohort))
        origin = cohort.origin
        if self._will_turn and distance < max_pointers:
            is_near = distance < network.num_maskmem
            origin = (*origin, entry if is_near else replace(entry, features=None))
        return StreamCohort(cohort.object_ids, bank, origin), said

    def _recall(self, cohort: StreamCohort, index: int) -> list[Said]:
        """Return what the prompts on this frame said of the cohort."""
        recalled = []
        for said in self._given[index]:
            names = [name for name in said.object_ids if name in cohort.object_ids]
            if names:
                recalled.append(said.select(names))
        return recalled

    def _start_of(self, cohort: StreamCohort) -> int:
        return min(cohort.prompted_frames) if self._start is None else self._start

    def _has_started(self, cohort: StreamCohort, index: int) -> bool:
        start = self._start_of(cohort)
        return index <= start if self._is_reverse else index >= start

    def _join(self, index: int, said: Sequence[Said], size: tuple[int, int]) -> TrackedFrame:
        """Return everything that was said on a frame, at its size."""
        if not said:
            empty = torch.zeros(0, *size, device=self._network.device)
            return TrackedFrame(index, (), empty, empty[:, 0, 0], size)
        joined = join(said)
        return TrackedFrame(
            index, joined.object_ids, joined.mask_logits.float(), joined.object_scores, size
        )


def _at_decoder_size(
    output: FrameOutput, features: FrameFeatures
) -> Float[Tensor, "objects height width"]:
    """Return the chosen masks at the mask decoder's size, to which given ones are reduced."""
    logits, size = output.best_mask_logits, tuple(features.quarter.shape[-2:])
    if not output.is_given:
        return logits
    return F.interpolate(
        logits.unsqueeze(1), size, mode="bilinear", align_corners=False, antialias=True
    ).squeeze(1)
