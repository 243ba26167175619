"""Training clips that cannot be read: the run stops, or another clip stands in for each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch.utils.data import Dataset

from sam2_video.data.collate import collate_clips
from sam2_video.data.dataset import ClipDataset
from sam2_video.structures import Clip, ClipBatch

MOST_STAND_INS = 8
"""Clips that are tried for one place of an epoch before the run stops all the same."""


class BadSampleError(ValueError):
    """A training clip cannot be read; says which file, and why."""


@dataclass(frozen=True)
class BadSample:
    """What a loading process hands on in the place of a clip: an exception would lose its text."""

    message: str


class ReadableClips(Dataset[Clip | BadSample]):
    """Clips, or in the place of one that cannot be read another, as `ClipDataset.draw` says.

    Which one follows from the seed, the epoch and the index: a resumed run draws the same, and
    several processes keep step.
    """

    def __init__(self, clips: ClipDataset, *, are_skipped: bool) -> None:
        self._clips = clips
        self._most = MOST_STAND_INS if are_skipped else 0

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, key: tuple[int, int]) -> Clip | BadSample:
        """Read the clip at (epoch, index), or what stands in for it."""
        epoch, index = key
        reasons: list[str] = []
        while len(reasons) <= self._most:
            try:
                clip = self._clips.draw(epoch, index, len(reasons))
            except (OSError, ValueError) as error:
                reasons.append(str(error))
            else:
                return replace(clip, skipped=tuple(reasons))
        if self._most:
            tried = "; ".join(dict.fromkeys(reasons))
            return BadSample(
                f"epoch {epoch}: {len(reasons)} clips in turn cannot be read: {tried}; is the disk "
                "with the data still there? Then go on with --resume"
            )
        return BadSample(
            f"epoch {epoch}: a training clip cannot be read: {reasons[0]}. Mend the file and go on "
            "with --resume, or leave such clips out with --dataset.on-bad-sample skip"
        )


def collate_readable(clips: Sequence[Clip | BadSample]) -> ClipBatch | BadSample:
    """Join clips; where one could not be read, there is no batch."""
    whole = [clip for clip in clips if isinstance(clip, Clip)]
    bad = [clip for clip in clips if isinstance(clip, BadSample)]
    return bad[0] if bad else collate_clips(whole)
