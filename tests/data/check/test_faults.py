"""Each fault of data, really made: its grade, its place, and its way out."""

import json
import re
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.data.check.conftest import NUM_FRAMES, SIZE, found, write_frame, write_mask

FRAME, MASK = "frame that cannot be used", "mask that cannot be used"


def test_nothing_is_found_where_nothing_is_wrong(data, check):
    report = check(data)
    assert found(report) == []
    assert not report.has_errors


def cut_jpeg(frames, masks):
    path = frames / "3.jpg"
    path.write_bytes(path.read_bytes()[:-60])


def empty_jpeg(frames, masks):
    (frames / "3.jpg").write_bytes(b"")


def text_for_jpeg(frames, masks):
    (frames / "3.jpg").write_text("not found")


def other_frame_size(frames, masks):
    write_frame(frames / "3.jpg", 0, 3, (SIZE[0], SIZE[1] + 2))


def cut_png(frames, masks):
    path = masks / "3.png"
    path.write_bytes(path.read_bytes()[:-40])


def other_mask_size(frames, masks):
    write_mask(masks / "3.png", (1, 1, 4, 4), size=(SIZE[0], SIZE[1] // 2))


def colour_mask(frames, masks):
    Image.new("RGB", SIZE[::-1], (255, 0, 0)).save(masks / "3.png")


def deep_mask(frames, masks):
    Image.fromarray(np.full(SIZE, 300, dtype=np.uint16)).save(masks / "3.png")


@pytest.mark.parametrize(
    ("damage", "kind", "says"),
    [
        (cut_jpeg, FRAME, "truncated"),
        (empty_jpeg, FRAME, "0 bytes"),
        (text_for_jpeg, FRAME, "cannot be read"),
        (other_frame_size, FRAME, "48x66 .* expected 48x64"),
        (cut_png, MASK, "cannot be read"),
        (other_mask_size, MASK, "48x32 .* frame is 48x64"),
        (colour_mask, MASK, "RGB picture"),
        (deep_mask, MASK, "more than 8 bits"),
    ],
)
def test_a_damaged_file_is_an_error_that_names_it(data, check, damage, kind, says):
    damage(data / "JPEGImages" / "b", data / "Annotations" / "b")
    report = check(data)
    assert found(report) == [("error", kind, "b", "3", None)]
    (finding,) = report.findings
    suffix = "b/3.jpg" if kind == FRAME else "b/3.png"
    assert finding.file is not None
    assert finding.file.endswith(suffix)
    assert finding.way_out
    assert finding.line().count(finding.file) == 1
    assert re.search(says, finding.message)
    assert report.has_errors


def test_a_line_names_each_place_once(data, check):
    cut_png(data / "JPEGImages" / "b", data / "Annotations" / "b")
    shutil.rmtree(data / "Annotations" / "c")
    lines = [finding.line() for finding in check(data).findings]
    assert [line.count(str(data)) for line in lines] == [2, 1]
    assert lines[0].startswith(f"{data / 'JPEGImages' / 'c'}: no masks: the folder")
    assert lines[1].startswith(f"{data / 'Annotations' / 'b' / '3.png'}: the mask cannot be read")
    (error,) = check(data / "nowhere").findings
    assert error.line() == f"{data / 'nowhere'}: does not exist; correct dataset.data_path"


def test_a_link_that_leads_to_itself_is_found_not_raised(data, check):
    path = data / "JPEGImages" / "b" / "3.jpg"
    path.unlink()
    path.symlink_to(path.name)
    (finding,) = check(data).findings
    assert (finding.grade, finding.video, finding.file) == ("error", "b", str(path))
    assert finding.message == "too many levels of symbolic links"


def test_what_lies_there_and_is_not_read_is_a_warning(data, check):
    (data / "JPEGImages" / "b" / "3.heic").write_bytes(b"")
    (data / "Annotations" / "c" / "99.png").symlink_to("nowhere.png")
    report = check(data)
    assert [one[:2] for one in found(report)] == [("warning", "left unread")] * 2
    assert report.findings[0].file == str(data / "JPEGImages" / "b")
    assert "1 entries (3.heic)" in report.findings[0].message
    assert report.findings[0].way_out.startswith("expected files .jpg")


def test_all_faults_are_found_in_one_go(data, check):
    for number, damage in enumerate((cut_jpeg, colour_mask, deep_mask, cut_png)):
        name = "abcd"[number]
        damage(data / "JPEGImages" / name, data / "Annotations" / name)
    assert [one[:3] for one in found(check(data))] == [
        ("error", FRAME, "a"),
        ("error", MASK, "b"),
        ("error", MASK, "c"),
        ("error", MASK, "d"),
    ]


def test_a_broken_first_frame_does_not_hide_the_rest(data, check):
    (data / "JPEGImages" / "a" / "0.jpg").write_bytes(b"junk")
    cut_jpeg(data / "JPEGImages" / "a", data / "Annotations" / "a")
    cut_png(data / "JPEGImages" / "b", data / "Annotations" / "b")
    for full in (False, True):
        errors = [one[1:4] for one in found(check(data, full=full)) if one[0] == "error"]
        assert errors == [(FRAME, "a", "0"), (FRAME, "a", "3"), (MASK, "b", "3")]


def test_damage_inside_a_frame_is_found_when_every_frame_is_decoded(data, check):
    path = data / "JPEGImages" / "b" / "2.png"
    write_frame(path, 1, 2)
    path.with_suffix(".jpg").unlink()
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40] = bytes(40)
    path.write_bytes(content)
    assert found(check(data)) == []
    assert found(check(data, full=True)) == [("error", FRAME, "b", "2", None)]


def test_a_video_without_masks_is_an_error_beside_the_others(data, check):
    shutil.rmtree(data / "Annotations" / "b")
    report = check(data)
    assert found(report)[0] == ("error", "video that cannot be opened", "b", None, None)
    assert {video.video for video in report.sets[0].videos} == set("acd")


def test_a_video_without_frames_is_an_error_beside_the_others(data, check):
    for path in (data / "JPEGImages" / "b").iterdir():
        path.unlink()
    report = check(data)
    assert found(report) == [("error", "video that cannot be opened", "b", None, None)]
    assert report.findings[0].file == str(data / "JPEGImages" / "b")


def test_masks_of_0_and_255_are_told_how_to_become_objects(data, check):
    for index in range(NUM_FRAMES):
        path = data / "Annotations" / "b" / f"{index}.png"
        Image.fromarray(np.where(np.array(Image.open(path)) > 0, 255, 0).astype(np.uint8)).save(
            path
        )
    (finding,) = check(data).findings
    assert (finding.grade, finding.kind, finding.video) == ("warning", "empty video", "b")
    assert "masks hold the value 255, which is ignored" in finding.message
    assert finding.way_out.startswith("write the object as 1 in place of 255")


def test_masks_with_smoothed_edges_are_told_as_such(data, check):
    for index in range(NUM_FRAMES):
        path = data / "Annotations" / "b" / f"{index}.png"
        oval = cv2.ellipse(np.zeros(SIZE), (30, 24), (20, 12), 9 * index, 0, 360, 255, -1)
        Image.fromarray(cv2.GaussianBlur(oval, (9, 9), 3).astype(np.uint8)).save(path)
    (finding,) = check(data).findings
    assert (finding.grade, finding.kind) == ("warning", "masks that look smoothed")
    assert "each grey value is an object of its own" in finding.message


def test_many_small_objects_that_lie_apart_are_objects(data, check):
    boxes = [(6 * row, 7 * column, 4, 4) for row in range(7) for column in range(9)]
    for index in range(NUM_FRAMES):
        write_mask(data / "Annotations" / "b" / f"{index}.png", *boxes)
    report = check(data, image_size=[320, 320])
    assert found(report) == []
    assert len(report.sets[0].videos[1].objects) == 63


def test_a_video_without_objects_is_a_warning(data, check):
    for index in range(NUM_FRAMES):
        write_mask(data / "Annotations" / "b" / f"{index}.png")
    report = check(data)
    assert found(report) == [("warning", "empty video", "b", None, None)]
    assert report.sets[0].videos[1].part == "left out"


def test_no_objects_at_all_are_an_error(data, check):
    for path in (data / "Annotations").rglob("*.png"):
        write_mask(path)
    assert ("error", "data", None, None, None) in found(check(data))


def test_objects_that_vanish_at_the_input_are_told_with_their_share(data, check):
    for index in range(NUM_FRAMES):
        box = (10, 10, 1, 1) if index < 2 else (10, 10, 4, 4)
        write_mask(data / "Annotations" / "a" / f"{index}.png", (30, 20, 12, 16), box)
    (one,) = check(data, image_size=[128, 128]).findings
    assert (one.grade, one.kind, one.object_id) == ("warning", "object too small for the input", 2)
    assert one.message.startswith("25 % of its masks vanish: at 128 x 128 px")
    assert "from 224 x 224" in one.way_out
    assert check(data, image_size=[224, 224]).findings == ()


def test_an_object_smaller_than_a_cell_of_memory_is_a_hint(data, check):
    for index in range(NUM_FRAMES):
        write_mask(data / "Annotations" / "a" / f"{index}.png", (30, 20, 3, 3))
    kind = "object smaller than a cell of memory"
    assert found(check(data, image_size=[224, 224])) == [("hint", kind, "a", "0", 1)]
    assert found(check(data, image_size=[320, 320])) == []


def test_a_validation_video_that_repeats_a_training_video_is_told(data, check):
    for index in range(NUM_FRAMES):
        write_frame(data / "JPEGImages" / "d" / f"{index}.jpg", 1, index)
    report = check(data)
    kind = "validation video like a training video"
    assert found(report) == [("warning", kind, "d", None, None)]
    assert "training video b" in report.findings[0].message


def coco(data, *, key=None, regions=2):
    images, annotations = [], []
    for number, name in enumerate("abcd"):
        for index in range(NUM_FRAMES):
            file = f"JPEGImages/{name}/{index}.jpg"
            image_id = 100 * number + index + 1
            size = {"height": SIZE[0], "width": SIZE[1]}
            place = {"video_id": number, "order_in_video": index}
            images.append({"id": image_id, "file_name": file} | size | place)
            for region in range(regions):
                left = 8 + 24 * region
                box = [left, 8, left + 14, 8, left + 14, 30, left, 30]
                one = {"id": len(annotations), "image_id": image_id, "category_id": 1}
                annotations.append(one | {"segmentation": [box]} | ({key: region} if key else {}))
    path = data / "data.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path


def test_classes_joined_to_one_object_are_told_once(data, check):
    report = check(coco(data))
    assert found(report) == [("warning", "classes as one object", None, None, None)]
    assert "on 32 of 32 frames" in report.findings[0].message
    assert found(check(coco(data, key="track_id"))) == []
    assert found(check(coco(data, regions=1))) == []


def test_numbers_that_no_label_map_can_hold_are_a_hint(data, check):
    path = coco(data, key="track_id")
    content = json.loads(path.read_text())
    for one in content["annotations"]:
        one["track_id"] += 254
    path.write_text(json.dumps(content))
    report = check(path)
    assert found(report) == [("hint", "object numbers above 254", None, None, 255)]
    assert "4 objects have numbers" in report.findings[0].message
    assert "--layout objects" in report.findings[0].way_out


def test_images_without_a_video_are_told_both_ways_out(data, check):
    path = coco(data)
    content = json.loads(path.read_text())
    for one in content["images"]:
        del one["video_id"], one["order_in_video"]
    path.write_text(json.dumps(content))
    (finding,) = check(path).findings
    assert finding.grade == "error"
    assert "video_id" in finding.message + finding.way_out
    assert "folders of frames" in finding.message + finding.way_out


def test_what_cannot_be_opened_at_all_is_found_not_raised(tmp_path, check):
    report = check(tmp_path / "nowhere")
    assert [one[:2] for one in found(report)] == [("error", "data")]
    assert "does not exist" in report.findings[0].message
    assert report.findings[0].way_out == "correct dataset.data_path"
