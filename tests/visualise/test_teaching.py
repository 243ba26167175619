"""Tests of the pictures of what a run is given: training clips and the summary of the data."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sam2_video.colours import object_colour
from sam2_video.structures import Corrections, Prompt
from sam2_video.visualise import ObjectTimes, ShownClip, clips, draw_clips, draw_data_summary
from sam2_video.visualise.summary import data_summary_figure
from tests.visualise.drawing import GREY, HEIGHT, WIDTH, Recorded, masks_of, pixels_of, two_objects

MASK = Prompt(0, (0,), masks=masks_of(two_objects())[:1].float())
BOX = Prompt(0, (0,), points=torch.tensor([[[10.0, 30], [49, 59]]]), labels=torch.tensor([[2, 3]]))
CLICKS = Prompt(
    0,
    (0,),
    points=torch.tensor([[[30.0, 45], [80, 45], [0, 0]]]),
    labels=torch.tensor([[1, 0, -1]]),
)


def corrections(frame: int, clicks: int, objects: tuple[int, ...] = (0,)) -> Corrections:
    targets = masks_of(two_objects())[list(objects)].to(torch.uint8)
    places = torch.zeros(len(objects), clicks)
    return Corrections(frame, objects, targets, places, places > 0)


def clip(
    *prompts: Prompt,
    rows: tuple[int, ...] = (0, 1),
    labelled: bool = True,
    corrected: tuple[Corrections, ...] = (),
) -> ShownClip:
    targets = masks_of(two_objects()).to(torch.uint8).unsqueeze(1).repeat(1, 2, 1, 1)
    is_labelled = torch.ones(2, 2, dtype=torch.bool)
    is_labelled[:, 1] = labelled
    frames = torch.full((2, 3, HEIGHT, WIDTH), GREY, dtype=torch.uint8)
    names = ("a", "b")
    return ShownClip("video", names, frames, targets, is_labelled, (1, 2), rows, prompts, corrected)


@pytest.fixture
def sheet(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    record = Recorded()
    monkeypatch.setattr(clips, "draw_sheet", record)
    return record


@pytest.mark.parametrize(("prompt", "kind"), [(MASK, "mask"), (BOX, "box"), (CLICKS, "click")])
def test_a_clip_names_the_prompt_on_its_frame_only(
    sheet: Recorded, prompt: Prompt, kind: str
) -> None:
    draw_clips([clip(prompt)], "clips")
    assert sheet.captions("video 2 objects") == [f"a: {kind} prompt", "b"]


@pytest.mark.parametrize(
    ("prompts", "corrected", "expected"),
    [
        ((BOX,), (corrections(0, 7),), ["a: box prompt + 7 corrections", "b"]),
        ((CLICKS,), (corrections(0, 1),), ["a: click prompt + 1 correction", "b"]),
        # a frame that is tracked first
        ((BOX,), (corrections(1, 2, (0, 1)),), ["a: box prompt", "b: 2 corrections"]),
        (
            (BOX, replace(CLICKS, objects=(1,))),
            (corrections(0, 3, (0, 1)), corrections(1, 3)),
            ["a: box, click prompt + 3 corrections", "b: 3 corrections"],
        ),
    ],
    ids=["prompted", "once", "tracked", "both"],
)
def test_a_clip_says_how_often_a_frame_is_corrected(
    sheet: Recorded,
    prompts: tuple[Prompt, ...],
    corrected: tuple[Corrections, ...],
    expected: list[str],
) -> None:
    draw_clips([clip(*prompts, corrected=corrected)], "clips")
    assert sheet.captions("video 2 objects") == expected


def test_a_mask_that_is_given_is_an_outline_and_a_target_is_filled(sheet: Recorded) -> None:
    draw_clips([clip(MASK)], "clips")
    given, target = (cell.picture for cell in sheet.cells["video 2 objects"])
    y, x = (45 * given.shape[0] // HEIGHT, 20 * given.shape[1] // WIDTH)
    assert tuple(given[y, x]) == (GREY,) * 3
    assert np.abs(target[y, x] - (np.array(object_colour(0)) + GREY) / 2).max() <= 1


def test_objects_have_the_colours_of_their_video_whichever_the_clip_holds(sheet: Recorded) -> None:
    draw_clips([clip(MASK, rows=(3, 5))], "clips")
    picture = sheet.cells["video 2 objects"][0].picture
    assert len(pixels_of(picture, 3)) > 50
    assert len(pixels_of(picture, 5)) > 50
    assert len(pixels_of(picture, 0)) == 0


def test_a_click_on_no_object_is_white_and_padding_is_not_drawn(sheet: Recorded) -> None:
    draw_clips([clip(CLICKS)], "clips")
    picture = sheet.cells["video 2 objects"][0].picture
    scale = picture.shape[1] / WIDTH
    assert tuple(picture[round(45 * scale) - 5, round(80 * scale)]) == (255, 255, 255)
    assert tuple(picture[2, 2]) == (GREY,) * 3


def test_a_frame_without_labels_says_so(sheet: Recorded) -> None:
    draw_clips([clip(MASK, labelled=False)], "clips")
    assert [label.text for label in sheet.cells["video 2 objects"][1].labels] == ["no label"]


def times(num_objects: int, name: str = "video") -> ObjectTimes:
    sides = np.full((num_objects, 4), 20.0)
    sides[0, :2] = 0
    labelled = np.ones((num_objects, 4), dtype=bool)
    ids = tuple(range(1, num_objects + 1))
    return ObjectTimes(name, 40, ids, np.array([0, 10, 20, 30]), 10, sides, labelled)


def test_the_data_are_a_line_an_object_and_absence_is_thin() -> None:
    figure = data_summary_figure([times(1)], "data", (128, 128))
    visible, absent = figure.axes[0].collections
    pieces = [path.get_extents() for path in visible.get_paths()]
    assert [(round(p.x0, 2), round(p.x1, 2)) for p in pieces] == [(0.5, 0.75), (0.75, 1.0)]
    thin = [path.get_extents() for path in absent.get_paths()]
    assert [(round(p.x0, 2), round(p.x1, 2)) for p in thin] == [(0.0, 0.25), (0.25, 0.5)]
    assert thin[0].height < pieces[0].height / 3


@pytest.mark.parametrize("name", ["$x^2", "two\nlines", "v" * 300])
def test_the_data_are_drawn_whatever_videos_are_called(name: str) -> None:
    picture = draw_data_summary([times(2, name), times(60)], "data", (512, 384))
    height, width, _ = picture.shape
    assert 200 < height < 2000
    assert 1000 < width < 2000
