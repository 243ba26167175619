"""What a step logs: the similarity of what was said last with what is to be seen."""

import pytest
import torch

from sam2_video.structures import FrameOutput, ModelClips
from sam2_video.training.values import predicted_similarity

SIZE = 8


def half(side):
    """Return the mask of one half of the picture."""
    mask = torch.zeros(SIZE, SIZE)
    mask[:, : SIZE // 2] = side == "left"
    mask[:, SIZE // 2 :] = side == "right"
    return mask


def output(frame, side, objects=(0,), is_given=False):
    """Return what is said of objects on a frame: that each is that half."""
    masks = (half(side) * 2 - 1).expand(len(objects), 1, SIZE, SIZE)
    scores = torch.ones(len(objects))
    return FrameOutput(
        frame=frame,
        objects=objects,
        mask_logits=masks,
        iou_predictions=scores[:, None],
        object_score_logits=scores,
        best=torch.zeros(len(objects), dtype=torch.long),
        pointers=torch.zeros(len(objects), 4),
        is_given=is_given,
    )


def clips(num_objects=1):
    """Return a clip of two frames, in which every object is the left half."""
    targets = half("left").byte().expand(num_objects, 2, SIZE, SIZE).clone()
    labelled = torch.ones(num_objects, 2, dtype=torch.bool)
    rows = torch.zeros(num_objects, dtype=torch.long)
    return ModelClips(
        torch.zeros(1, 2, 3, SIZE, SIZE), targets, labelled, rows, (0,) * num_objects, (0,)
    )


@pytest.mark.parametrize(
    ("first", "last", "expected"), [("right", "left", 1), ("left", "right", 0)]
)
def test_of_a_corrected_frame_the_output_after_the_last_click_counts(first, last, expected):
    said = [output(0, "right"), output(0, first), output(0, last)]
    assert [value.item() for value in predicted_similarity(said, clips())] == [expected, 1]


def test_each_object_is_counted_once_a_frame_however_often_it_is_corrected():
    said = [
        output(1, "left", objects=(1,)),
        output(0, "right", objects=(0, 1)),
        output(0, "left", objects=(0, 1)),
        output(1, "right", objects=(0,)),
        output(1, "left", objects=(0,)),
    ]
    assert [value.item() for value in predicted_similarity(said, clips(2))] == [4, 4]


def test_what_is_given_absent_or_unlabelled_is_no_prediction():
    shown = clips(3)
    shown.targets[1, 1] = 0
    shown.labelled[2, 1] = False
    said = [output(0, "left", objects=(0, 1, 2), is_given=True), output(1, "left", (0, 1, 2))]
    assert [value.item() for value in predicted_similarity(said, shown)] == [1, 1]
