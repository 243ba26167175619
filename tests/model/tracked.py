"""Prompts of several kinds, and what was said of the objects they show: for tests of tracking."""

import torch
from torch import Tensor

from sam2_video.model.object_prompt import ObjectPrompt
from sam2_video.model.stream import TrackedFrame
from tests.model.micro import relative, squares

MIXED = (
    ObjectPrompt(7, 0, mask=squares(1)[0] > 0),
    ObjectPrompt(3, 0, box=(7.0, 5.0, 34.0, 41.0)),
    ObjectPrompt(5, 2, points=[(24.0, 20.0)], labels=[1]),
    ObjectPrompt(4, 2, points=[(29.0, 20.0), (30.0, 21.0)], labels=[1, 0]),
    ObjectPrompt(9, 3, mask=squares(5)[4]),
)


def said(frames: list[TrackedFrame]) -> dict[tuple[int, int], Tensor]:
    """Return what was said of each (object, frame)."""
    return {
        (name, frame.index): torch.cat([frame.mask_logits[row].flatten(), score[None]])
        for frame in frames
        for row, (name, score) in enumerate(zip(frame.object_ids, frame.object_scores, strict=True))
    }


def assert_alike(ours: dict[tuple[int, int], Tensor], expected: dict[tuple[int, int], Tensor]):
    assert ours.keys() == expected.keys()
    for key, value in expected.items():
        assert relative(ours[key], value) < 1e-6, key
