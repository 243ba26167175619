"""Fixed prompts of evaluation: where they lie, and empty masks."""

import pytest
import torch

from sam2_video.prompts import prompt_from_mask
from sam2_video.structures import PromptKind


def test_boxes_and_points_are_metas():
    utils = pytest.importorskip("sam2.modeling.sam2_utils", reason="Meta's sam2 is not installed")
    targets = torch.zeros(2, 1, 24, 32, dtype=torch.uint8)
    targets[0, 0, 3:9, 5:20] = 1
    targets[1, 0, 4:, :7] = 1
    corners, labels = utils.sample_box_points(targets.bool(), noise=0.0)
    box = prompt_from_mask(targets[:, 0], PromptKind.BOX, 1, frame=0, objects=(0, 1))
    assert torch.equal(box.points, corners.float())
    assert torch.equal(box.labels, labels.long())
    centres, _ = utils.get_next_point(targets.bool(), None, "center")
    point = prompt_from_mask(targets[:, 0], PromptKind.POINT, 1, frame=0, objects=(0, 1))
    assert torch.equal(point.points, centres)


@pytest.mark.parametrize("kind", list(PromptKind))
def test_an_empty_mask_gives_a_defined_fixed_prompt(kind):
    empty = torch.zeros(1, 8, 8, dtype=torch.uint8)
    prompt = prompt_from_mask(empty, kind, 2, frame=4, objects=(6,))
    assert (prompt.frame, prompt.objects) == (4, (6,))
    if kind is PromptKind.MASK:
        assert not prompt.masks.any()
    else:
        assert prompt.labels.tolist() == [[-1, -1]]
        assert not prompt.points.any()


def test_further_fixed_points_keep_away_from_the_first():
    targets = torch.zeros(1, 15, 41, dtype=torch.uint8)
    targets[0, 2:13, 2:39] = 1
    prompt = prompt_from_mask(targets, PromptKind.POINT, 3, frame=0, objects=(0,))
    again = prompt_from_mask(targets, PromptKind.POINT, 3, frame=0, objects=(0,))
    assert torch.equal(prompt.points, again.points)
    distances = torch.cdist(prompt.points[0], prompt.points[0])[0, 1:]
    assert distances.min() > 4
    x, y = prompt.points[0].long().unbind(-1)
    assert (targets[0, y, x] == 1).all()


def test_an_object_smaller_than_the_number_of_points_is_padded():
    targets = torch.zeros(1, 8, 8, dtype=torch.uint8)
    targets[0, 7, 0] = 1
    prompt = prompt_from_mask(targets, PromptKind.POINT, 3, frame=0, objects=(0,))
    assert prompt.labels.tolist() == [[1, -1, -1]]
    assert prompt.points[0, 0].tolist() == [0, 7]
