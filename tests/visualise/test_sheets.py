"""Tests of labels, of many objects, and of what cannot be drawn."""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sam2_video.data.layout import open_dataset
from sam2_video.visualise.labels import label_extent, place_labels, place_prompt_labels
from sam2_video.visualise.sheet import label_size, text_size
from tests.visualise.drawing import (
    MemoryVideo,
    Recorded,
    draw,
    many_objects,
    pixels_of,
    predicted,
    two_objects,
)


@pytest.mark.parametrize("place", [place_labels, place_prompt_labels])
@pytest.mark.parametrize("seed", range(5))
def test_labels_lie_inside_the_picture_and_never_on_one_another(seed: int, place: Any) -> None:
    random = np.random.default_rng(seed)
    masks = np.zeros((3 + 10 * seed, 120, 200), bool)
    for mask in masks:
        top, left = random.integers(0, 110), random.integers(0, 190)
        mask[top : top + random.integers(1, 60), left : left + random.integers(1, 60)] = True
    labels = place(masks, [str(i + 1) for i in range(len(masks))], 12)
    assert labels
    extents = [label_extent(label, 12) for label in labels]
    for left, top, right, bottom in extents:
        assert left >= -0.5
        assert top >= -0.5
        assert right <= 200.5
        assert bottom <= 120.5
    for a, b in combinations(extents, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_a_label_beside_its_object_does_not_cover_another() -> None:
    masks = np.zeros((2, 120, 200), bool)
    masks[0, 60:64, 100:104] = True
    masks[1, 10:60, 80:130] = True
    small = next(label for label in place_labels(masks, ["1", "2"], 12) if label.text == "1")
    assert small.y > 64


def test_sixty_objects_are_drawn_and_listed(recorded: Recorded) -> None:
    labels = many_objects(60, (240, 400))
    video = MemoryVideo([labels, labels])
    masks = dict.fromkeys(range(2), torch.stack([labels == i + 1 for i in range(60)]))
    draw(video, [0, 1], predictions={"tuned": predicted(masks, {1: 1.0})})
    assert recorded.legend == [str(i + 1) for i in range(60)]
    assert recorded.captions("frame and prompt") == ["60 mask prompts", ""]
    assert recorded.captions("tuned") == ["prompt given", "J 1.00"]
    size = label_size(text_size(480, 2))
    assert len(recorded.labels("truth")[1]) == 60, f"labels of {size} px fit into 48 x 48 px"


def test_the_legend_of_sixty_objects_wraps_inside_the_sheet() -> None:
    labels = many_objects(60, (120, 200))
    picture = draw(MemoryVideo([labels]), [0])
    assert picture.shape[1] < 800
    assert (picture[:, -4:] == 255).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": []}, "0 frames and 2 objects"),
        (
            {"predictions": {"tuned": predicted({})}},
            "frame 0: masks of 'tuned': got none, expected 2",
        ),
        (
            {"predictions": {"tuned": predicted({0: torch.zeros(1, 9, 16, dtype=torch.bool)})}},
            "got 1, expected 2",
        ),
        ({"prompt_frame_of": {7: 0}}, r"prompts of objects \[7\]; its objects are \[1, 2\]"),
        ({"prompt_frame_of": {1: 1}, "frames": [1]}, "without their annotation"),
    ],
)
def test_what_does_not_fit_the_video_is_refused(changes: dict[str, Any], message: str) -> None:
    video = MemoryVideo([two_objects(), None])
    with pytest.raises(ValueError, match=message):
        draw(video, changes.pop("frames", [0]), **changes)


def test_real_clips_with_void_and_without_labels_are_drawn(shared_data: Path) -> None:
    videos = {video.video_id: video for video in open_dataset(shared_data / "davis_edge")}
    for name, frames in (("tennis-void255", [0, 1]), ("caps", [0, 20, 33])):
        video = videos[name]
        empty = torch.zeros(len(video.object_ids), *video.size, dtype=torch.bool)
        nothing = predicted(dict.fromkeys(frames, empty))
        picture = draw(video, frames, predictions={"zero-shot": nothing})
        assert len(pixels_of(picture, 0)) > 500
