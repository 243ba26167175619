"""What lies wrong in a folder costs its video, with one line that names file and way out."""

import json

import numpy as np
import pytest
from PIL import Image

from sam2_video import score
from sam2_video.scoring import write_csv, write_json
from sam2_video.scoring.run import _rules
from tests.scoring.conftest import draw

A = (1, 2)


@pytest.fixture
def pair(truth, predictions):
    """Two videos without a fault."""
    for side in (truth, predictions):
        side.video("bad", [(A,)] * 4)
        side.video("good", [(A,)] * 4)
    return truth, predictions


def only_left_out(truth, predictions, **settings):
    report = score(truth.root, predictions.root, **settings)
    assert [video.video for video in report.videos] == ["good"]
    (item,) = report.left_out
    assert item.video == "bad"
    assert "\n" not in item.reason
    return item.reason


def test_missing_frames_leave_the_video_out_or_are_empty(pair):
    for index in (1, 2):
        (pair[1].root / "bad" / f"{index}.png").unlink()
    reason = only_left_out(*pair)
    assert reason.startswith(str(pair[1].root / "bad"))
    assert "2 of 2 predicted masks are missing (frame 1, frame 2)" in reason
    assert "--missing empty" in reason
    report = score(pair[0].root, pair[1].root, missing="empty")
    assert (report.left_out, report.overall.jf) == ((), 0.5)
    assert "video bad: 2 of 2 predicted masks are missing" in report.notes[0]
    # skip passes over whole videos only
    assert only_left_out(*pair, missing="skip")


def test_a_missing_video_is_left_out_empty_or_passed_over(pair):
    truth, predictions = pair
    for path in (predictions.root / "bad").iterdir():
        path.unlink()
    (predictions.root / "bad").rmdir()
    assert "no predictions of this video" in only_left_out(*pair)
    assert score(truth.root, predictions.root, missing="empty").overall.jf == 0.5
    report = score(truth.root, predictions.root, missing="skip")
    assert (report.left_out, report.overall.jf) == ((), 1.0)
    assert "1 videos (bad)" in report.notes[0]
    assert "passed over" in report.notes[0]


def test_a_video_without_truth_is_ignored_with_a_note(pair):
    pair[1].video("other", [(A,)])
    report = score(pair[0].root, pair[1].root)
    assert report.left_out == ()
    assert "1 videos (other)" in report.notes[0]


def test_a_prediction_of_another_size_is_named(pair):
    pair[1].write("bad/1.png", draw(A, size=(10, 15)))
    reason = only_left_out(*pair)
    assert "bad/1.png: the mask is 10x15 (height x width), the truth 20x30" in reason
    assert "original size" in reason


def test_a_damaged_file_is_named(pair):
    path = pair[1].root / "bad" / "1.png"
    path.write_bytes(path.read_bytes()[:-30])
    assert "bad/1.png: the mask cannot be read" in only_left_out(*pair)
    path.write_text("no picture")
    assert "bad/1.png: the mask cannot be read" in only_left_out(*pair)


def test_colours_and_deep_masks_are_refused(pair):
    pair[1].write("bad/1.png", np.stack([draw(A)] * 3, axis=-1))
    assert "bad/1.png: the mask has Pillow mode RGB" in only_left_out(*pair)
    pair[1].write("bad/1.png", draw(A).astype(np.uint16))
    assert "value = object" in only_left_out(*pair)


def test_jpeg_masks_are_refused(pair):
    for path in (pair[1].root / "bad").iterdir():
        path.unlink()
    pair[1].video("bad", [(A,)] * 4, suffix=".jpg")
    assert "JPEG mask has lost its exact values" in only_left_out(*pair)


def test_two_layouts_in_one_video_are_refused(pair):
    pair[1].masklets("bad", o1=[2])
    assert "both mask files and folders (1, ...)" in only_left_out(*pair)


def test_several_values_in_an_object_folder_are_refused(truth, predictions):
    for side in (truth, predictions):
        side.masklets("bad", o1=[2] * 3)
        side.masklets("good", o1=[2] * 3)
    predictions.write("bad/1/1.png", draw((1, 2), (2, 10)))
    assert "bad/1/1.png: several objects" in only_left_out(truth, predictions)


def test_a_missing_object_folder_is_named(truth, predictions):
    for side in (truth, predictions):
        side.masklets("good", o1=[2] * 3, o2=[20] * 3)
    truth.video("bad", [((1, 2), (2, 20))] * 3)
    predictions.masklets("bad", o1=[2] * 3)
    assert "1 of 2 predicted masks are missing (object 2 frame 1)" in only_left_out(
        truth, predictions
    )
    assert score(truth.root, predictions.root, missing="empty").overall.jf == 0.75


def test_object_folders_that_no_label_can_stand_for_are_refused(truth, predictions):
    for side in (truth, predictions):
        side.video("good", [(A,)] * 3)
    truth.masklets("bad", o000=[2] * 3)
    predictions.video("bad", [(A,)] * 3)
    assert "truth/bad/000: no label of the other side's" in only_left_out(truth, predictions)


def test_too_few_frames_are_no_score(pair):
    for index in (2, 3):
        (pair[0].root / "bad" / f"{index}.png").unlink()
    assert "no frame to score: 2 annotated" in only_left_out(*pair)
    assert score(pair[0].root, pair[1].root, count_first_and_last=True).left_out == ()


def test_suffixes_may_differ_and_order_is_natural(truth, predictions):
    truth.video("one", [(A,)] * 12)
    predictions.video("one", [(A,)] * 11 + [()], suffix=".bmp")
    report = score(truth.root, predictions.root)
    assert (report.overall.num_frames, report.overall.jf) == (10, 1.0)


def test_palette_grey_and_one_bit_masks_say_the_same(truth, predictions):
    truth.video("one", [(A,)] * 4)
    palette = Image.fromarray(draw(A)).convert("P")
    palette.putdata(draw(A).flatten().tolist())
    palette.putpalette([0, 0, 0, 200, 30, 30])
    predictions.video("one", [(A,)] * 4)
    palette.save(predictions.root / "one" / "1.png")
    Image.fromarray(draw(A) > 0).save(predictions.root / "one" / "2.png")
    assert score(truth.root, predictions.root).overall.jf == 1.0


def test_any_level_of_a_davis_tree_will_do(truth, predictions):
    truth.video("Annotations/480p/one", [(A,)] * 4)
    predictions.video("one", [(A,)] * 4)
    for root in ("", "Annotations", "Annotations/480p", "Annotations/480p/one"):
        other = predictions.root / "one" if root.endswith("one") else predictions.root
        assert score(truth.root / root, other).overall.jf == 1.0
    truth.video("Annotations/Full-Resolution/one", [(A,)] * 4)
    with pytest.raises(ValueError, match="several resolutions"):
        score(truth.root, predictions.root)


def test_folders_that_cannot_be_meant_are_errors(truth, predictions):
    truth.video("one", [(A,)] * 4)
    with pytest.raises(FileNotFoundError, match="no such folder of predictions"):
        score(truth.root, predictions.root)
    predictions.root.mkdir()
    with pytest.raises(ValueError, match="no videos in this folder of predictions"):
        score(truth.root, predictions.root)
    with pytest.raises(ValueError, match="perhaps you meant davis"):
        _rules("davi")


def test_json_and_csv_hold_all_three_levels(pair, tmp_path):
    pair[1].write("bad/1.png", draw(size=(1, 1)))
    report = score(pair[0].root, pair[1].root)
    write_json(report, tmp_path / "scores.json")
    write_csv(report, tmp_path / "scores.csv")
    content = json.loads((tmp_path / "scores.json").read_text())
    assert content["overall"] == content["videos"]["good"]["scores"]
    assert content["videos"]["good"]["objects"]["1"]["JF"] == 1.0
    assert content["overall"]["returned_JF"] is None
    assert [item["video"] for item in content["left_out"]] == ["bad"]
    head, *rows = [line.split(",") for line in (tmp_path / "scores.csv").read_text().splitlines()]
    assert [row[:2] for row in rows] == [["", ""], ["good", ""], ["good", "1"]]
    assert rows[0][head.index("JF")] == "1.0"
    assert rows[0][head.index("returned_JF")] == ""
