"""Tests of the pictures of a run: what they show."""

import math

import numpy as np
import pytest
import torch

from sam2_video.colours import OBJECT_COLOURS, object_colour
from sam2_video.structures import PromptKind
from sam2_video.visualise.paint import STRIPES, fit_masks, paint_masks
from tests.visualise.drawing import (
    GREY,
    WIDTH,
    MemoryVideo,
    Recorded,
    draw,
    masks_of,
    pixels_of,
    predicted,
    two_objects,
)

SIZES = [(32, 32), (400, 20), (20, 400), (640, 360)]


@pytest.mark.parametrize(
    ("size", "num_frames"), [((2160, 3840), 1), *((size, n) for size in SIZES for n in (1, 8))]
)
def test_a_sheet_has_a_sane_size_for_frames_of_any_size(
    size: tuple[int, int], num_frames: int
) -> None:
    labels = torch.zeros(size, dtype=torch.uint8)
    labels[size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = 1
    video = MemoryVideo([labels] * num_frames)
    masks = dict.fromkeys(range(num_frames), (labels == 1)[None])
    rows = {"zero-shot": predicted(masks), "tuned": predicted(masks)}
    height, width, _ = draw(video, range(num_frames), predictions=rows, title="a title " * 40).shape
    assert 200 < height < 2200
    assert 600 < width < 2500


def test_objects_have_their_colour_at_their_place() -> None:
    video = MemoryVideo([two_objects()])
    swapped = {0: masks_of(two_objects(is_swapped=True))}
    picture = draw(video, [0], predictions={"tuned": predicted(swapped)})
    last_row = picture[-320:]
    above = picture[len(picture) // 2 - 150 : len(picture) // 2 + 150]
    assert pixels_of(above, 0)[:, 1].mean() < pixels_of(above, 1)[:, 1].mean() - 100
    assert pixels_of(last_row, 0)[:, 1].mean() > pixels_of(last_row, 1)[:, 1].mean() + 100


def test_a_mask_is_a_translucent_fill_and_a_crisp_contour() -> None:
    picture = np.full((60, 80, 3), GREY, np.uint8)
    masks = np.zeros((2, 60, 80), bool)
    masks[1, 20:40, 20:60] = True
    painted = paint_masks(picture, masks)
    mixed = (np.array(object_colour(1)) + GREY) / 2
    assert np.abs(painted[30, 40] - mixed).max() <= 1
    assert tuple(painted[20, 40]) == object_colour(1)
    assert tuple(painted[5, 5]) == (GREY,) * 3
    outline = paint_masks(picture, masks, is_filled=False)
    assert tuple(outline[30, 40]) == (GREY,) * 3
    assert tuple(outline[20, 40]) == object_colour(1)
    assert (picture == GREY).all()


def test_object_colours_differ_and_cycle() -> None:
    assert len(set(OBJECT_COLOURS)) == len(OBJECT_COLOURS) >= 7
    assert object_colour(len(OBJECT_COLOURS)) == object_colour(0)


def test_an_object_keeps_its_colour_where_another_is_absent(recorded: Recorded) -> None:
    only_second = two_objects()
    only_second[only_second == 1] = 0
    draw(MemoryVideo([two_objects(), only_second]), [0, 1])
    both, second = recorded.cells["truth"]
    assert len(pixels_of(both.picture, 0)) > 100
    assert len(pixels_of(both.picture, 1)) > 100
    assert len(pixels_of(second.picture, 0)) == 0
    assert len(pixels_of(second.picture, 1)) > 100
    assert recorded.captions("truth") == ["2 of 2 visible", "1 of 2 visible"]


def test_an_object_below_a_pixel_is_still_seen() -> None:
    masks = torch.zeros(2, 2160, 3840, dtype=torch.bool)
    masks[0, 1000, 2000] = True
    fitted = fit_masks(masks, (270, 480))
    assert np.argwhere(fitted[0]).tolist() == [[125, 250]]
    assert not fitted[1].any()


def test_rows_without_predictions_are_left_out(recorded: Recorded) -> None:
    video, masks = MemoryVideo([two_objects()]), {0: masks_of(two_objects())}
    draw(video, [0])
    assert recorded.row_titles == ["frame and prompt", "truth"]
    draw(video, [0], predictions={"tuned\n(step 3)": predicted(masks)})
    assert recorded.row_titles == ["frame and prompt", "truth", "tuned (step 3)"]
    draw(video, [0], predictions={"zero-shot": predicted(masks), "tuned": predicted(masks)})
    assert recorded.row_titles[2:] == ["zero-shot", "tuned"]


def test_an_unlabelled_frame_says_so_and_shows_no_object(recorded: Recorded) -> None:
    masks = {frame: masks_of(two_objects()) for frame in range(2)}
    draw(MemoryVideo([two_objects(), None]), [0, 1], predictions={"tuned": predicted(masks)})
    cell = recorded.cells["truth"][1]
    assert [label.text for label in cell.labels] == ["no label"]
    assert (cell.picture == cell.picture[0, 0]).all()
    assert cell.picture.min() > GREY
    assert recorded.captions("tuned") == ["prompt given", "no label"]


def test_ignored_pixels_are_hatched_and_explained(recorded: Recorded) -> None:
    labels = two_objects()
    draw(MemoryVideo([labels]), [0])
    assert not any("ignored" in text for text in recorded.legend)
    labels[70:90] = 255
    draw(MemoryVideo([labels]), [0])
    assert any("ignored" in text for text in recorded.legend)
    region = recorded.cells["truth"][0].picture[-40:]
    assert set(region.flatten().tolist()) == set(STRIPES)


def test_each_prompt_is_drawn_on_its_own_frame_only(recorded: Recorded) -> None:
    only_first = two_objects()
    only_first[only_first == 2] = 0
    draw(MemoryVideo([only_first, two_objects(), two_objects()]), [0, 1, 2])
    first, second, third = (cell.picture for cell in recorded.cells["frame and prompt"])
    assert len(pixels_of(first, 0)) > 100
    assert len(pixels_of(first, 1)) == 0
    assert len(pixels_of(second, 0)) == 0
    assert len(pixels_of(second, 1)) > 100
    assert (third == GREY).all()
    assert recorded.captions("frame and prompt") == ["1 mask prompt", "1 mask prompt", ""]
    assert recorded.labels("frame and prompt") == [["prompt 1"], ["prompt 2"], []]
    assert recorded.legend == ["object 1 (prompt: frame 0)", "object 2 (prompt: frame 1)"]


def test_a_single_object_is_a_prompt_without_a_number(recorded: Recorded) -> None:
    labels = two_objects()
    labels[labels == 2] = 0
    draw(MemoryVideo([labels]), [0])
    assert recorded.labels("frame and prompt") == [["prompt"]]
    assert recorded.labels("truth") == [[]]


@pytest.mark.parametrize("kind", [PromptKind.BOX, PromptKind.POINT])
def test_boxes_and_points_are_drawn_where_they_were_given(
    recorded: Recorded, kind: PromptKind
) -> None:
    draw(MemoryVideo([two_objects()]), [0], prompt_kind=kind, num_points=2)
    cell = recorded.cells["frame and prompt"][0]
    scale = cell.picture.shape[1] / WIDTH
    places = pixels_of(cell.picture[: round(62 * scale)], 0) / scale
    assert cell.caption == f"2 {kind} prompts"
    assert places.min(axis=0).tolist() >= [28, 8]
    assert places.max(axis=0).tolist() <= [62, 52]
    spread = places.max(axis=0) - places.min(axis=0)
    assert (spread > 25).all() == (kind is PromptKind.BOX)


def test_a_frame_says_its_score_or_why_it_has_none(recorded: Recorded) -> None:
    late = two_objects()
    late[late == 2] = 0
    empty = torch.zeros_like(late)
    masks = dict.fromkeys(range(5), masks_of(two_objects()))
    video = MemoryVideo([empty, late, two_objects(), two_objects(), two_objects()])
    scored = predicted(masks, {2: 0.5, 3: 0.75, 4: math.nan})
    draw(video, range(5), predictions={"tuned": scored})
    assert recorded.captions("tuned") == [
        "before the prompt",
        "prompt given",
        "J 0.50",
        "J 0.75",
        "not scored",
    ]


def test_masks_may_come_smaller_than_the_video(recorded: Recorded) -> None:
    masks = {0: masks_of(two_objects())[:, ::2, ::2]}
    draw(MemoryVideo([two_objects()]), [0], predictions={"tuned": predicted(masks)})
    truth, small = (recorded.cells[row][0].picture for row in ("truth", "tuned"))
    difference = np.abs(truth.astype(int) - small).max(axis=2) > 60
    assert difference.mean() < 0.02


def test_columns_are_named_by_frame_and_file(recorded: Recorded) -> None:
    draw(MemoryVideo([two_objects()] * 3), [0, 2])
    names = [f"some/long/folder/of/frames/{i:05d}.jpg" for i in (0, 2)]
    assert recorded.column_titles == [("frame 0", names[0]), ("frame 2", names[1])]
