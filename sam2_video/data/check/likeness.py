"""Find validation videos that look like training videos, by small grey pictures of some frames.

Measured on 37 clips cut from 18 recordings: of the pairs from one recording whose views overlap the
correlation of the most alike pictures was 0.91 to 1, of all others at most 0.83.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float

from sam2_video.data.check.report import Finding
from sam2_video.data.facts import VideoFacts

ALIKE = 0.9
IDENTICAL, LEAST_DIFFERENCE = 0.98, 4.0
"""Correlation, and mean difference of grey values below which pictures are one scene."""
LEAST_CONTRAST = 4.0
"""Standard deviation of grey values below which a picture tells nothing."""
COMMON = 0.1
"""Where a larger share of the pairs is alike, as with ultrasound, likeness says nothing."""


def find_alike(
    train: Mapping[str, VideoFacts], validation: Mapping[str, VideoFacts]
) -> list[Finding]:
    """Return a finding for each validation video that looks like a training video."""
    names, rows, pictures = _gather(train)
    if not len(rows) or not validation:
        return []
    normal = _normalise(pictures)
    found: list[tuple[str, str, float, float]] = []
    num_alike = 0
    for name, facts in validation.items():
        likeness = _normalise(_telling(facts.thumbnails)) @ normal.T
        if not likeness.size:
            continue
        by_video = np.zeros(len(names))
        np.maximum.at(by_video, rows, likeness.max(0))
        num_alike += int((by_video >= ALIKE).sum())
        own, other = np.unravel_index(likeness.argmax(), likeness.shape)
        one = _telling(facts.thumbnails)[own].astype(np.float32)
        difference = float(np.abs(one - pictures[other]).mean())
        found.append((name, names[rows[other]], float(likeness.max()), difference))
    is_common = num_alike > max(COMMON * len(names) * len(validation), len(validation))
    return [*_grade(found, is_common=is_common)]


def _grade(found: list[tuple[str, str, float, float]], *, is_common: bool) -> Iterator[Finding]:
    for name, other, likeness, difference in found:
        if likeness >= IDENTICAL and difference <= LEAST_DIFFERENCE:
            yield Finding(
                "warning",
                "validation video like a training video",
                f"a frame is nearly the same as one of training video {other} (correlation "
                f"{likeness:.3f}): what is scored on it has been seen",
                "keep clips of one recording on one side, with dataset.val_path or split lists",
                video=name,
            )
        elif likeness >= ALIKE and not is_common:
            yield Finding(
                "hint",
                "validation video that resembles a training video",
                f"looks like training video {other} (correlation {likeness:.3f}): perhaps they are "
                "of one recording",
                "look at both; keep clips of one recording on one side",
                video=name,
            )


def _gather(
    videos: Mapping[str, VideoFacts],
) -> tuple[list[str], np.ndarray, Float[np.ndarray, "pictures side side"]]:
    telling = {name: _telling(facts.thumbnails) for name, facts in videos.items()}
    rows = np.repeat(np.arange(len(telling)), [len(one) for one in telling.values()])
    pictures = np.concatenate(list(telling.values())) if telling else np.zeros((0, 1, 1))
    return list(telling), rows, pictures.astype(np.float32)


def _telling(pictures: np.ndarray) -> np.ndarray:
    """Return the pictures that are not of one grey."""
    return pictures[pictures.std(axis=(1, 2)) >= LEAST_CONTRAST]


def _normalise(pictures: np.ndarray) -> Float[np.ndarray, "pictures pixels"]:
    """Return rows whose products are correlations."""
    flat = pictures.reshape(len(pictures), -1).astype(np.float32)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)
