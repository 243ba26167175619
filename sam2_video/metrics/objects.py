"""J and F of one object, added frame by frame and summarised as VOS benchmarks do."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8
from torch import Tensor

from sam2_video.metrics.frame import FrameScore, score_frame
from sam2_video.structures import OBJECT


@dataclass(frozen=True)
class ObjectSummary:
    """The scores of one object over the frames that count; NaN where no frame says it.

    `j`, `f` and `returned_*` are means over frames; recall is the share of frames above 0.5,
    decay the mean of the first quarter of the frames less that of the last. Returned frames are
    those on which the object is visible again after an annotated frame without it. Absent frames
    lack the object after it had been seen. `iou_total` and `dice_total` are sums over the
    `num_shown` frames where truth or prediction is not empty.
    """

    object_id: int | str
    num_frames: int
    j: float
    f: float
    j_recall: float
    j_decay: float
    f_recall: float
    f_decay: float
    num_returned: int
    returned_j: float
    returned_f: float
    num_absent: int
    num_left_empty: int
    num_shown: int
    iou_total: float
    dice_total: float

    @property
    def jf(self) -> float:
        """Return the mean of J and F."""
        return (self.j + self.f) / 2


class ObjectScores:
    """J and F of one object, frame by frame in any order; keeps numbers, not masks.

    >>> import torch
    >>> scores = ObjectScores(1)
    >>> for index in range(3):
    ...     mask = torch.ones(4, 6, dtype=torch.uint8)
    ...     _ = scores.update(index, mask.bool(), mask)
    >>> summary = scores.summary(leave_out={0, 2})
    >>> summary.num_frames, summary.jf
    (1, 1.0)

    Args:
        object_id: whose scores they are.
        starts_when_seen: count frames from the first on which truth or prediction shows the
            object, and no object that the truth never shows (vos-benchmark); else count all
            frames of every object (davis2017-evaluation).
    """

    def __init__(self, object_id: int | str, *, starts_when_seen: bool = True) -> None:
        self.object_id = object_id
        self._starts_when_seen = starts_when_seen
        self._scores: dict[int, FrameScore] = {}
        self._is_visible: dict[int, bool] = {}

    def update(
        self,
        frame_index: int,
        prediction: Bool[Tensor, "height width"],
        truth: UInt8[Tensor, "height width"],
    ) -> FrameScore:
        """Score an annotated frame at its original size, and return what it says.

        Pixels of 255 in the truth are background here, as for the public evaluators; the losses
        ignore them. The masks may lie on any device; the boundaries are compared on the CPU.
        """
        score = score_frame(prediction.cpu().numpy(), (truth == OBJECT).cpu().numpy())
        self.add(frame_index, score)
        return score

    def add(self, frame_index: int, score: FrameScore) -> None:
        """Add the score of a frame."""
        assert frame_index not in self._scores, f"frame {frame_index} is scored already"
        self._scores[frame_index] = score
        self._is_visible[frame_index] = score.is_visible

    def note(self, frame_index: int, *, is_visible: bool) -> None:
        """Say whether an annotated frame that has no score shows the object."""
        self._is_visible[frame_index] = is_visible

    def summary(self, leave_out: Collection[int] = ()) -> ObjectSummary | None:
        """Return the scores over all frames but some; None where the object cannot be scored.

        Args:
            leave_out: frames that do not count: by custom the first and the last annotated one.
        """
        frames = self._counted_frames(leave_out)
        if not frames:
            return None
        scores = [self._scores[frame] for frame in frames]
        j, f = (np.array([getattr(score, name) for score in scores]) for name in ("j", "f"))
        absent, returned = self._absent_and_returned()
        is_returned = np.array([frame in returned for frame in frames])
        missing = [score for frame, score in zip(frames, scores, strict=True) if frame in absent]
        shown = [score for score in scores if score.is_visible or score.is_predicted]
        return ObjectSummary(
            object_id=self.object_id,
            num_frames=len(frames),
            j=float(j.mean()),
            f=float(f.mean()),
            j_recall=float((j > 0.5).mean()),
            j_decay=_decay(j),
            f_recall=float((f > 0.5).mean()),
            f_decay=_decay(f),
            num_returned=int(is_returned.sum()),
            returned_j=float(j[is_returned].mean()) if is_returned.any() else math.nan,
            returned_f=float(f[is_returned].mean()) if is_returned.any() else math.nan,
            num_absent=len(missing),
            num_left_empty=sum(not score.is_predicted for score in missing),
            num_shown=len(shown),
            iou_total=math.fsum(score.j for score in shown),
            dice_total=math.fsum(score.dice for score in shown),
        )

    def _counted_frames(self, leave_out: Collection[int]) -> Sequence[int]:
        frames = sorted(self._scores.keys() - set(leave_out))
        if not self._starts_when_seen:
            return frames
        if not any(self._scores[frame].is_visible for frame in frames):
            return []
        seen = (
            place
            for place, frame in enumerate(frames)
            if self._scores[frame].is_visible or self._scores[frame].is_predicted
        )
        return frames[next(seen) :]

    def _absent_and_returned(self) -> tuple[set[int], set[int]]:
        """Return the frames without the object after it was seen, and those after its return."""
        absent: set[int] = set()
        returned: set[int] = set()
        was_seen = False
        for frame, is_visible in sorted(self._is_visible.items()):
            if is_visible and absent:
                returned.add(frame)
            elif was_seen and not is_visible:
                absent.add(frame)
            was_seen |= is_visible
        return absent, returned


def _decay(values: np.ndarray) -> float:
    """Return the mean of the first quarter of the frames less that of the last (DAVIS).

    davis2017-evaluation keeps the quarters' ends in 8 bits, which wrap around in videos of more
    than 256 frames; these do not.
    """
    ends = np.round(np.linspace(1, len(values), 5) + 1e-10).astype(np.int64) - 1
    return float(values[: ends[1] + 1].mean() - values[ends[3] :].mean())
