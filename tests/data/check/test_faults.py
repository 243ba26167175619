"""Each fault of data, really made: its grade, its place, and its way out."""

import json
import re
import shutil

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


def test_an_object_that_is_named_and_never_seen_is_a_warning(data, check):
    folder = data / "Annotations" / "b"
    for index in range(NUM_FRAMES):
        label = folder / f"{index}.png"
        label.unlink()
        write_mask(folder / "1" / label.name, (4, 4, 10, 10))
        write_mask(folder / "7" / label.name)
    for name in "acd":
        shutil.rmtree(data / "JPEGImages" / name)
    report = check(data, val_fraction=0.0)
    assert found(report) == [("warning", "object never visible", "b", None, 7)]


def test_a_short_video_and_one_that_teaches_no_tracking_are_told(data, check):
    for index in range(2, NUM_FRAMES):
        (data / "JPEGImages" / "a" / f"{index}.jpg").unlink()
        (data / "Annotations" / "a" / f"{index}.png").unlink()
    for index in range(1, NUM_FRAMES - 1):
        (data / "Annotations" / "b" / f"{index}.png").unlink()
    assert found(check(data)) == [
        ("warning", "video that teaches no tracking", "b", None, None),
        ("hint", "video shorter than a clip", "a", None, None),
    ]
    assert [one[1] for one in found(check(data, frame_stride=[1, 7]))] == [
        "video shorter than a clip"
    ]


def test_copies_of_a_frame_are_told_with_the_frame_they_copy(data, check):
    frames = data / "JPEGImages" / "c"
    shutil.copyfile(frames / "2.jpg", frames / "5.jpg")
    report = check(data)
    assert found(report) == [("warning", "duplicate frames", "c", "5", None)]
    assert "1 of 8 frames" in report.findings[0].message
    assert report.findings[0].message.endswith("as frame 2")


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


def test_what_cannot_be_opened_at_all_is_found_not_raised(tmp_path, check):
    report = check(tmp_path / "nowhere")
    assert [one[:2] for one in found(report)] == [("error", "data")]
    assert "does not exist" in report.findings[0].message
    assert report.findings[0].way_out == "correct dataset.data_path"
