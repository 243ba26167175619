"""Tests of what annotation tools export, in their own structure: Roboflow, CVAT, Labelme, ..."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from sam2_video.data.coco_images import PATTERNS
from sam2_video.data.layout import open_dataset

SIZE = (24, 32)


def write_image(path: Path, value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*SIZE, 3), value, dtype=np.uint8))


def polygon(left: int) -> list[list[float]]:
    return [[left, 2.0, left + 6.0, 2.0, left + 6.0, 8.0, left, 8.0]]


def painted(left: int) -> dict:
    """Return a mask as CVAT writes it: uncompressed runs."""
    mask = np.zeros(SIZE, dtype=np.uint8)
    mask[2:8, left : left + 6] = 1
    flat = mask.flatten("F")
    runs = np.diff(np.r_[0, np.flatnonzero(np.diff(flat)) + 1, flat.size]).tolist()
    assert coco_mask.area(coco_mask.frPyObjects({"counts": runs, "size": [*SIZE]}, *SIZE)) == 36
    return {"counts": runs, "size": [*SIZE]}


def roboflow(root: Path, names: list[str]) -> Path:
    """Write `train/_annotations.coco.json` beside its images, of one class."""
    images, annotations = [], []
    for number, name in enumerate(names):
        write_image(root / "train" / name, number)
        image = {"id": number, "license": 1, "file_name": name, "date_captured": "2026"}
        images.append(image | {"height": SIZE[0], "width": SIZE[1], "extra": {"name": name[:9]}})
        one = {"id": number, "image_id": number, "category_id": 1, "iscrowd": 0, "area": 36}
        annotations.append(one | {"bbox": [2, 2, 6, 6], "segmentation": polygon(2)})
    categories = [{"id": 0, "name": "x"}, {"id": 1, "name": "polyp", "supercategory": "x"}]
    path = root / "train" / "_annotations.coco.json"
    content = {"images": images, "categories": categories, "annotations": annotations}
    path.write_text(json.dumps(content))
    return path


HASHES = [f"{number:032x}" for number in range(9)]
FROM_VIDEOS = [
    f"{video}_mp4-{frame}_jpg.rf.{HASHES[frame % 9]}.jpg"
    for video in ("left-eye", "right_2")
    for frame in (2, 10, 1)
]


def test_roboflows_names_are_told_with_the_pattern_that_reads_them(tmp_path):
    roboflow(tmp_path, FROM_VIDEOS)
    with pytest.raises(ValueError, match=r"_annotations.coco.json, image 0 .*: no `video_id`") as e:
        open_dataset(tmp_path / "train")
    told = str(e.value)
    assert f"dataset.video_pattern: '{PATTERNS[0]}' (finds 2 videos of 3 frames in the na" in told
    assert "or point dataset.data_path to folders of frames" in told
    videos = open_dataset(tmp_path / "train", video_pattern=PATTERNS[0])
    assert [video.video_id for video in videos] == ["left-eye_mp4", "right_2_mp4"]
    # in the order of the numbers 1, 2, 10, which is not that of the list
    assert [int(videos[1].read_frame(i).max()) for i in range(3)] == [5, 3, 4]
    assert videos[0].object_ids == (1,)


@pytest.mark.parametrize(
    ("names", "number", "videos"),
    [
        ([f"frame_{i:04d}_jpg.rf.{HASHES[i]}.jpg" for i in range(3)], 0, ["frame"]),
        ([f"{i}_png.rf.{HASHES[i]}.jpg" for i in range(3)], 1, ["_annotations.coco"]),
        ([f"images/0a1b2c{i}d-colon_{i}.png" for i in (1, 2)], 2, ["colon"]),
        ([f"{v}/frame_{i}.png" for v in "ab" for i in (1, 2)], 3, ["a-frame", "b-frame"]),
        ([f"{v}/{i:05d}.png" for v in "ab" for i in (1, 2)], 3, ["a", "b"]),
        ([f"{i}.png" for i in (1, 2)], 4, ["_annotations.coco"]),
    ],
)
def test_other_names_that_are_often_met_are_known(tmp_path, names, number, videos):
    path = roboflow(tmp_path, names)
    with pytest.raises(ValueError, match="no `video_id`") as error:
        open_dataset(path)
    assert f"dataset.video_pattern: '{PATTERNS[number]}'" in str(error.value)
    opened = open_dataset(path, video_pattern=PATTERNS[number])
    assert [video.video_id for video in opened] == videos


def test_no_pattern_is_offered_where_names_tell_nothing(tmp_path):
    path = roboflow(tmp_path, ["red.png", "blue.png"])
    with pytest.raises(ValueError, match=r"no `video_id`, so its video is unknown; add `video_id`"):
        open_dataset(path)


def test_augmented_copies_of_a_frame_are_refused(tmp_path):
    path = roboflow(tmp_path, [f"frame_7_jpg.rf.{digest}.jpg" for digest in HASHES[:2]])
    with pytest.raises(ValueError, match=r"frame 7 of video frame is .* too.*without augmentation"):
        open_dataset(path, video_pattern=PATTERNS[0])
    with pytest.raises(
        ValueError, match=r"video_pattern '.*' finds no frame in this name; correct"
    ):
        open_dataset(path, video_pattern=r"frame(?P<frame>\d+)")


def test_the_parts_of_a_roboflow_export_are_named(tmp_path):
    roboflow(tmp_path, FROM_VIDEOS)
    (tmp_path / "README.roboflow.txt").touch()
    with pytest.raises(ValueError, match=r"holds the parts train of a data set; point"):
        open_dataset(tmp_path)


def cvat(root: Path, segmentations: list, *, has_tracks: bool) -> None:
    """Write `annotations/instances_default.json` and `images/default`, as CVAT's COCO 1.0 is."""
    images, annotations = [], []
    for number, lefts in enumerate(segmentations):
        name = f"frame_{number:06d}.PNG"
        write_image(root / "images" / "default" / name, number)
        image = {"id": number + 1, "width": SIZE[1], "height": SIZE[0], "file_name": name}
        images.append(image | {"license": 0, "flickr_url": "", "coco_url": "", "date_captured": 0})
        for track, segmentation in lefts:
            told = {"track_id": track, "keyframe": True} if has_tracks else {}
            one = {"id": len(annotations) + 1, "image_id": number + 1, "category_id": track + 1}
            one |= {"segmentation": segmentation, "area": 36.0, "bbox": [0, 2, 6, 6]}
            one["iscrowd"] = int(isinstance(segmentation, dict))
            annotations.append(one | {"attributes": {"occluded": False, **told}})
    (root / "annotations").mkdir()
    content = {"licenses": [], "info": {}, "categories": [], "images": images}
    path = root / "annotations" / "instances_default.json"
    path.write_text(json.dumps(content | {"annotations": annotations}))


def test_tracks_of_a_cvat_video_task_keep_their_identity(tmp_path, log):
    rows = [[(0, polygon(2)), (3, polygon(12))], [(3, polygon(14))], [], [(0, polygon(20))]]
    cvat(tmp_path, rows, has_tracks=True)
    (video,) = open_dataset(tmp_path, video_pattern=r"_(?P<frame>\d+)")
    assert "the folder holds the COCO file annotations/instances_default.json" in log[-1]
    assert video.video_id == "instances_default"
    assert video.object_ids == (0, 3)
    assert [video.visible_objects(i) for i in range(4)] == [(0, 3), (3,), (), (0,)]
    assert not video.objects_are_categories
    assert video.frame_names[3] == "frame_000003"


def test_masks_painted_in_cvat_are_objects_and_no_crowds(tmp_path):
    cvat(tmp_path, [[(0, painted(2)), (1, painted(12))], [(0, painted(3))]], has_tracks=False)
    (video,) = open_dataset(tmp_path, video_pattern=r"(?P<frame>\d+)\.")
    assert video.object_ids == (1, 2)  # the categories: there are no tracks
    assert video.read_masks(0, (1, 2)).flatten(1).sum(1).tolist() == [36, 36]
    assert video.read_masks(1, (1,)).unique().tolist() == [0, 1]


def test_labelme2coco_and_label_studio_put_their_images_below_the_json(tmp_path):
    for folder, name, file in (
        ("labelme", "annotations.json", "JPEGImages/clip_00{}.jpg"),
        ("studio", "result.json", "images/12345678-clip_{}.jpg"),
    ):
        images, annotations = [], []
        for number in range(2):
            write_image(tmp_path / folder / file.format(number))
            image = {"id": number, "file_name": file.format(number)}
            images.append(image | {"height": SIZE[0], "width": SIZE[1], "license": 0, "url": None})
            one = {"id": number, "image_id": number, "category_id": 1, "iscrowd": 0}
            annotations.append(one | {"segmentation": polygon(2 + number), "area": 36})
        content = {"images": images, "type": "instances", "annotations": annotations}
        (tmp_path / folder / name).write_text(json.dumps(content))
        videos = open_dataset(tmp_path / folder, video_pattern=r"(?P<video>clip)_(?P<frame>\d+)")
        assert [(video.video_id, video.num_frames) for video in videos] == [("clip", 2)]
        assert len(open_dataset(tmp_path / folder, format="images")) == 2


FOREIGN = {
    "labelme.json": ({"version": "5.5.0", "shapes": [], "imagePath": "a.jpg"}, "Labelme; convert"),
    "tasks.json": ([{"id": 1, "data": {"image": "/a"}, "annotations": []}], "Label Studio's own"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_files_that_need_a_converter_are_named_with_it(tmp_path, name):
    content, told = FOREIGN[name]
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"{name}: .*{told}.*see the recipes in docs/data.md"):
        open_dataset(tmp_path / name)
    (tmp_path / "annotations.xml").write_text("<annotations/>")
    with pytest.raises(ValueError, match=r"annotations.xml: a CVAT or VOC file; export as `COCO"):
        open_dataset(tmp_path / "annotations.xml")
