"""Tests of YTVIS files, and of OVIS' and UVO's: masks, absence, crowds, paths, broken records."""

import copy
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from sam2_video.data.layout import open_dataset
from sam2_video.data.ytvis import open_ytvis
from sam2_video.masks import encode_rle
from tests.data.conftest import HEIGHT, WIDTH, make_mask, write_video


def square(top: int, left: int, side: int = 3) -> dict:
    mask = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    mask[top : top + side, left : left + side] = True
    return dict(encode_rle(mask))


def uncompressed(segmentation: dict) -> dict:
    """Return runs as numbers, as OVIS and YouTube-VIS 2019 have them."""
    from pycocotools import mask as coco_mask

    flat = np.asarray(coco_mask.decode(segmentation)).flatten("F")
    edges = np.flatnonzero(np.diff(np.r_[0, flat, 1 - flat[-1]]))
    runs = np.diff(np.r_[0, edges]).tolist()
    return {"size": segmentation["size"], "counts": runs}


def content() -> dict:
    """Return two videos; object 2 leaves and comes back, object 9 is drawn as polygons."""
    videos = [
        {"id": 1, "width": WIDTH, "height": HEIGHT, "length": 3, "license": 1, "coco_url": ""}
        | {"file_names": [f"b10/{i:05d}.png" for i in (0, 5, 10)]},
        {"id": 2, "width": WIDTH, "height": HEIGHT, "length": 1} | {"file_names": ["b9/00000.png"]},
    ]
    annotations = [
        {"id": 1, "video_id": 1, "category_id": 4, "iscrowd": 0, "areas": [9, 9, 9]}
        | {"segmentations": [square(0, 0), square(1, 1), square(2, 2)]},
        {"id": 2, "video_id": 1, "category_id": 4, "iscrowd": 0, "areas": [9, None, 9]}
        | {"segmentations": [uncompressed(square(5, 5)), None, square(6, 6)]},
        {"id": 9, "video_id": 2, "category_id": 5, "iscrowd": 0}
        | {"segmentations": [[[2, 2, 8, 2, 8, 6, 2, 6]]]},
    ]
    categories = [{"id": 4, "name": "seal"}, {"id": 5, "name": "boat"}]
    return {"info": {}, "videos": videos, "categories": categories, "annotations": annotations}


def write(root: Path, data: dict, frames: str = "JPEGImages") -> Path:
    for number, video in enumerate(data["videos"]):
        for index, name in enumerate(video["file_names"]):
            path = root / frames / name
            path.parent.mkdir(parents=True, exist_ok=True)
            image = np.full((HEIGHT, WIDTH, 3), 10 * number + index, dtype=np.uint8)
            cv2.imwrite(str(path), image)
    (root / "train.json").write_text(json.dumps(data))
    return root / "train.json"


def test_objects_leave_where_their_mask_is_null_and_every_listed_frame_is_labelled(tmp_path):
    boat, seals = open_ytvis(write(tmp_path, content()))
    assert (boat.video_id, seals.video_id) == ("b9", "b10")
    assert seals.frame_names == ("00000", "00005", "00010")
    assert seals.labelled_frames == (0, 1, 2)
    assert [seals.visible_objects(i) for i in range(3)] == [(1, 2), (1,), (1, 2)]
    assert seals.is_labelled(1, 2)
    assert seals.read_masks(1, (2,)).sum() == 0
    assert seals.read_masks(0, (2,))[0, 5:8, 5:8].all()
    assert seals.read_masks(0, (2,)).sum() == 9
    assert seals.object_names == {1: "seal", 2: "seal"}
    assert boat.object_names == {9: "boat"}
    assert 20 <= int(boat.read_masks(0, (9,)).sum()) <= 35
    assert [int(seals.read_frame(i).max()) for i in range(3)] == [0, 1, 2]


def test_the_same_data_as_davis_masks_are_the_same_masks(tmp_path):
    rows = [(1, 2), (2,), (1,), ()]
    frames = tmp_path / "davis" / "JPEGImages" / "v"
    write_video(frames, tmp_path / "davis" / "Annotations" / "v", rows)
    masks = [torch.from_numpy(make_mask(row)) for row in rows]
    annotations = [
        {"id": key, "video_id": 7, "category_id": 1, "iscrowd": 0}
        | {"segmentations": [encode_rle(m == key) if (m == key).any() else None for m in masks]}
        for key in (1, 2)
    ]
    video = {"id": 7, "width": WIDTH, "height": HEIGHT, "length": len(rows)}
    video["file_names"] = [f"v/frame_{i}.png" for i in range(len(rows))]
    path = tmp_path / "davis" / "train.json"
    path.write_text(json.dumps({"videos": [video], "annotations": annotations}))
    (one,), (two,) = open_dataset(tmp_path / "davis"), open_dataset(path)
    assert one.video_id == two.video_id
    assert one.frame_names == two.frame_names
    assert one.object_ids == two.object_ids == (1, 2)
    for i in range(len(rows)):
        assert one.visible_objects(i) == two.visible_objects(i)
        assert torch.equal(one.read_masks(i, (1, 2)), two.read_masks(i, (1, 2)))
        assert torch.equal(one.read_frame(i), two.read_frame(i))


def test_real_clips_are_the_same_as_ytvis(shared_data, tmp_path):
    davis = [v for v in open_dataset(shared_data / "davis_edge") if "crop" in v.video_id]
    data: dict = {"videos": [], "annotations": []}
    for number, video in enumerate(davis, start=1):
        names = [Path(file) for file in video.frames.files()]
        files = [f"{name.parent.name}/{name.name}" for name in names]
        size = {"height": video.size[0], "width": video.size[1]}
        data["videos"].append({"id": number, "file_names": files, "length": len(files)} | size)
        for key in video.object_ids:
            masks = [video.read_masks(i, (key,))[0] == 1 for i in range(video.num_frames)]
            found = [encode_rle(mask) if mask.any() else None for mask in masks]
            one = {"id": 100 * number + key, "video_id": number, "segmentations": found}
            data["annotations"].append(one)
    (tmp_path / "x.json").write_text(json.dumps(data))
    images = shared_data / "davis_edge" / "JPEGImages" / "480p"
    for one, two in zip(davis, open_dataset(tmp_path / "x.json", images), strict=True):
        assert one.video_id == two.video_id
        for i in range(one.num_frames):
            ids = one.visible_objects(i)
            assert tuple(key % 100 for key in two.visible_objects(i)) == ids
            assert torch.equal(one.read_masks(i, ids), two.read_masks(i, two.visible_objects(i)))


def test_a_crowd_is_ignored_but_on_the_objects_own_pixels(tmp_path):
    data = content()
    crowd = {"id": 3, "video_id": 1, "category_id": 4, "iscrowd": 1}
    data["annotations"].append(crowd | {"segmentations": [square(0, 0, 8), None, None]})
    video = open_ytvis(write(tmp_path, data))[1]
    assert video.object_ids == (1, 2)
    assert video.read_masks(0, (1, 2))[:, 0, 0].tolist() == [1, 255]
    assert 255 not in video.read_masks(1, (1, 2))


def test_ovis_and_uvo_name_their_frames_in_other_ways(tmp_path):
    ovis, uvo = content(), content()
    ovis["videos"][0]["file_names"] = [f"b10/img_{i:07d}.png" for i in (1, 2, 3)]
    for video in uvo["videos"]:  # frames of all videos are named by their number alone
        video["file_names"] = [f"{video['id']}_{i}.png" for i in range(video["length"])]
        video["ytid"] = f"yt{video['id']}"
    one = open_ytvis(write(tmp_path / "ovis", ovis, "train"), tmp_path / "ovis" / "train")[1]
    assert one.frame_names == ("img_0000001", "img_0000002", "img_0000003")
    videos = open_ytvis(write(tmp_path / "uvo", uvo, "."))
    assert [video.video_id for video in videos] == ["1", "2"]
    assert videos[0].frame_names == ("1_0", "1_1", "1_2")


def test_it_is_recognised_by_what_it_holds_and_found_in_its_folder(tmp_path, log):
    path = write(tmp_path, content())
    for place in (path, tmp_path):
        assert [video.video_id for video in open_dataset(place)] == ["b9", "b10"]
    assert "layout ytvis (certain: the path is a YTVIS JSON file): 2 videos" in log[0]
    assert "the folder holds the YTVIS file train.json): 2 videos, 4 frames; 2 names" in log[-1]
    assert len(open_dataset(tmp_path, format="ytvis")) == 2
    with pytest.raises(ValueError, match=r"a folder without a COCO file; point"):
        open_dataset(tmp_path, format="coco")


def test_a_video_whose_images_are_missing_is_a_problem_of_its_own(tmp_path):
    path = write(tmp_path, content())
    (tmp_path / "JPEGImages" / "b10" / "00005.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"train\.json: image 'b10/00005.png' does not exi"):
        open_ytvis(path)
    problems = {}
    assert [video.video_id for video in open_ytvis(path, problems=problems)] == ["b9"]
    assert "b10/00005.png" in problems["b10"]


@pytest.mark.parametrize("name", ["../x.png", "/etc/x.png", "..\\x.png", "C:\\x.png", "out/x.png"])
def test_paths_never_leave_the_images_folder(tmp_path, name):
    root = tmp_path / "root"
    data = content()
    path = write(root, data)
    (tmp_path / "x.png").write_bytes(b"x")
    (root / "JPEGImages" / "out").symlink_to(tmp_path)
    data["videos"][0]["file_names"][1] = name
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=r"train\.json: file_name .* leads out of"):
        open_ytvis(path)


def edit(place: str, key: str, value: object, index: int = 0) -> dict:
    data = copy.deepcopy(content())
    record = data[place][index]
    record.pop(key) if value is None else record.update({key: value})
    return data


BROKEN = [
    (edit("videos", "id", None), r"video 0 of the list: `id` is missing"),
    (edit("videos", "id", 2), r"video 2: two videos have this `id`"),
    (edit("videos", "id", 5), r"annotation 1: `video_id` 1 is not among `videos`"),
    (edit("videos", "file_names", []), r"video 1: `file_names` is \[\], expected a list"),
    (edit("videos", "file_names", [1]), r"video 1: `file_names` is \[1\], expected a list"),
    (edit("videos", "height", None), r"video 1: `height` is None, expected a whole number"),
    (edit("videos", "width", 3.5), r"video 1: `width` is 3.5, expected a whole number"),
    (edit("videos", "length", 4), r"video 1: `length` is 4 but there are 3 `file_names`"),
    (edit("annotations", "id", None), r"an annotation has no `id`"),
    (edit("annotations", "id", "a"), r"an annotation has no `id`, or none that is a whole"),
    (edit("annotations", "id", 2), r"annotation 2: two annotations have this `id`"),
    (edit("annotations", "video_id", None), r"annotation 1: `video_id` None is not among"),
    (edit("annotations", "video_id", [1]), r"annotation 1: `video_id` \[1\] is not among"),
    (edit("annotations", "segmentations", None), r"annotation 1 .video 1.: `segmentations` is No"),
    (edit("annotations", "segmentations", [None]), r"`segmentations` has 1 entries, its video 3"),
    (edit("annotations", "areas", [1, 2]), r"annotation 1 .*`areas` has 2 entries, its video 3"),
    (edit("annotations", "segmentations", [None, [], None]), r"frame 1 .*00005.png.: .* neither R"),
    (
        content() | {"annotations": []},
        r"`annotations` is \[\], expected a list of objects; the pub",
    ),
    (content() | {"videos": {}}, r"no YTVIS file: `videos` is missing"),
]


@pytest.mark.parametrize(("data", "message"), BROKEN)
def test_a_broken_record_is_one_line_with_file_and_way_out(tmp_path, data, message):
    path = write(tmp_path, content())
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=rf"train\.json.*{message}") as error:
        open_ytvis(path)
    assert "\n" not in str(error.value)
    assert ";" in str(error.value)


def test_a_damaged_mask_is_named_when_it_is_read(tmp_path):
    data = content()
    data["annotations"][0]["segmentations"][1] = {"size": [HEIGHT, WIDTH], "counts": "0"}
    data["annotations"][1]["segmentations"][2] = {"size": [8, 8], "counts": [64]}
    video = open_ytvis(write(tmp_path, data))[1]
    with pytest.raises(ValueError, match=r"annotation 1 .video 1., frame 1 .*: the RLE is damaged"):
        video.read_masks(1, (1,))
    with pytest.raises(ValueError, match=r"annotation 2 .video 1., frame 2 .* has size \[8, 8\]"):
        video.read_masks(2, (2,))
