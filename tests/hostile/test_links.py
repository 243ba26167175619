"""Symbolic links in data sets of every layout, to files outside of them."""

import json
import re
import shutil

import av
import numpy as np
import pytest
from PIL import Image

from sam2_video.config import DatasetConfig
from sam2_video.data.check import inspect_data
from sam2_video.data.layout import open_dataset
from sam2_video.data.links import refuse_links_out
from sam2_video.data.sets import open_sets

SIDE = 32
RLE = {"size": [SIDE, SIDE], "counts": [9, 50, SIDE * SIDE - 59]}


def draw(folder, names, *, of_masks=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        image = Image.new("L" if of_masks else "RGB", (SIDE, SIDE))
        image.paste(1, (0, 0, 9, 9))
        image.save(folder / f"{name}.png")


def film(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=24)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((SIDE, SIDE, 3), np.uint8), "rgb24")
        for packet in (*stream.encode(frame), *stream.encode()):
            file.mux(packet)


def video_directory(root):
    draw(root / "a", "01")
    draw(root / "a/masks", "01", of_masks=True)


def davis(root):
    draw(root / "JPEGImages/480p/a", "01")
    draw(root / "Annotations/480p/a", "01", of_masks=True)
    categories = {"videos": {"a": {"objects": {"1": {"category": "cat"}}}}}
    (root / "meta.json").write_text(json.dumps(categories))


def objects(root):
    draw(root / "JPEGImages/a", "01")
    draw(root / "Annotations/a/000", "01", of_masks=True)


def recordings(root):
    film(root / "a.mp4")
    draw(root / "masks/a", "0", of_masks=True)


def sav(root):
    film(root / "a.mp4")
    content = {
        "video_frame_count": 1,
        "video_height": SIDE,
        "video_width": SIDE,
        "masklet_id": [1],
        "masklet": [[{"size": [SIDE, SIDE], "counts": "0`0P1"}]],
    }
    (root / "a_manual.json").write_text(json.dumps(content))


def npz(root):
    array = np.zeros((2, SIDE, SIDE), np.uint8)
    array[:, :9, :9] = 1
    np.savez(root / "a.npz", imgs=array, gts=array)


def tiff(root):
    pages = [Image.new("L", (SIDE, SIDE), 1) for _ in range(2)]
    for folder in (root / "images", root / "labels"):
        folder.mkdir()
        pages[0].save(folder / "a.tif", save_all=True, append_images=pages[1:])


def coco(root):
    draw(root / "images/a", "0")
    image = {"id": 1, "file_name": "a/0.png", "width": SIDE, "height": SIDE}
    annotation = {"id": 1, "image_id": 1, "track_id": 1, "segmentation": RLE}
    (root / "annotations").mkdir()
    (root / "annotations/one.json").write_text(
        json.dumps(
            {
                "images": [image | {"video_id": "a", "order_in_video": 0}],
                "annotations": [annotation],
            }
        )
    )


def ytvis(root):
    draw(root / "JPEGImages/a", "0")
    video = {"id": 1, "file_names": ["a/0.png"], "width": SIDE, "height": SIDE}
    annotation = {"id": 1, "video_id": 1, "segmentations": [RLE]}
    (root / "one.json").write_text(json.dumps({"videos": [video], "annotations": [annotation]}))


LINKS = [
    (video_directory, "a"),
    (video_directory, "a/1.png"),
    (video_directory, "a/masks"),
    (video_directory, "a/masks/1.png"),
    (davis, "JPEGImages"),
    (davis, "JPEGImages/480p"),
    (davis, "JPEGImages/480p/a/0.png"),
    (davis, "Annotations"),
    (davis, "Annotations/480p/a"),
    (davis, "Annotations/480p/a/0.png"),
    (davis, "meta.json"),
    (objects, "Annotations/a/000"),
    (objects, "Annotations/a/000/1.png"),
    (recordings, "a.mp4"),
    (recordings, "masks"),
    (recordings, "masks/a/0.png"),
    (sav, "a.mp4"),
    (sav, "a_manual.json"),
    (npz, "a.npz"),
    (tiff, "images/a.tif"),
    (tiff, "labels"),
    (coco, "images"),
    (coco, "images/a"),
    (coco, "images/a/0.png"),
    (coco, "annotations/one.json"),
    (ytvis, "JPEGImages/a/0.png"),
    (ytvis, "one.json"),
]
IDS = [f"{make.__name__}: {place}" for make, place in LINKS]


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def link_out(path, target):
    """Put a file or folder elsewhere, and a link to it where it was."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(path, target)
    path.symlink_to(target)


@pytest.mark.parametrize(("make", "place"), LINKS, ids=IDS)
def test_a_link_out_is_refused_by_name_and_followed_where_it_is_allowed(root, make, place):
    make(root)
    target = root.parent / "elsewhere" / root.joinpath(place).name
    link_out(root / place, target)
    with pytest.raises(ValueError, match=r"set dataset\.follow_links: true") as error:
        open_dataset(root)
    assert str(target) in str(error.value)
    is_in_json = make in (coco, ytvis) and "s/a" in place and not place.endswith("json")
    assert ("file_name 'a/0.png'" if is_in_json else str(root / place)) in str(error.value)
    (video,) = open_dataset(root, follow_links=True)
    assert video.has_objects
    report = inspect_data(DatasetConfig(data_path=str(root)), seed=0)
    (finding,) = [one for one in report.findings if one.grade == "error"]
    assert str(target) in finding.message
    assert "follow_links" in finding.way_out


MAKERS = dict.fromkeys(make for make, _ in LINKS)


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_the_path_that_is_named_may_be_a_link(root, make, monkeypatch):
    make(root)
    link = root.parent / "link"
    link.symlink_to(root)
    (one,) = open_dataset(link)
    assert one.has_objects
    monkeypatch.chdir(link)
    assert [video.video_id for video in open_dataset(".")] == [one.video_id]


def test_every_path_that_is_named_may_be_a_link(root):
    davis(root)
    frames, masks, away = (root.parent / name for name in ("frames", "masks", "away"))
    link_out(root / "Annotations", away)
    frames.symlink_to(root / "JPEGImages")
    masks.symlink_to(away / "480p")
    (video,) = open_dataset(frames, masks)
    assert video.has_objects
    with pytest.raises(ValueError, match=r"Annotations: a link to .*away"):
        open_dataset(frames)
    npz(root)
    link = root.parent / "named" / "b.npz"
    link.parent.mkdir()
    link.symlink_to(root / "a.npz")
    assert open_dataset(link)[0].has_objects


def test_links_within_a_data_set_are_followed(root):
    video_directory(root)
    link_out(root / "a/1.png", root / "a/.kept/1.png")
    link_out(root / "a/masks", root / ".masks")
    assert open_dataset(root)[0].has_objects


def test_a_link_that_is_not_read_is_nobodys_business(root):
    video_directory(root)
    (root / "a/notes.txt").symlink_to("/etc/hostname")
    (root / ".cache").symlink_to("/etc")
    assert open_dataset(root)[0].has_objects


@pytest.mark.parametrize("name", ["train.txt", "val.txt"])
def test_lists_of_videos_are_not_read_elsewhere(root, name):
    davis(root)
    shutil.copytree(root / "JPEGImages/480p/a", root / "JPEGImages/480p/b")
    shutil.copytree(root / "Annotations/480p/a", root / "Annotations/480p/b")
    lists = root / "ImageSets/2017"
    lists.mkdir(parents=True)
    for one, text in (("train.txt", "a\n"), ("val.txt", "b\n")):
        (lists / one).write_text(text)
    link_out(lists / name, root.parent / "secret.txt")
    with pytest.raises(ValueError, match=rf"{name}: a link to .*secret\.txt"):
        open_sets(DatasetConfig(data_path=str(root)), seed=0)
    (found,) = open_sets(DatasetConfig(data_path=str(root), follow_links=True), seed=0)
    assert [video.video_id for video in found.validation] == ["b"]


def test_only_links_are_followed_not_every_file(root, monkeypatch):
    draw(root / "a", map(str, range(20)))
    draw(root / "a/masks", "0", of_masks=True)
    videos = open_dataset(root)
    asked = []
    monkeypatch.setattr(
        "sam2_video.data.links.os.path.realpath", lambda path: asked.append(path) or str(path)
    )
    assert refuse_links_out(videos, root, None, None) == videos
    assert len(asked) < 10
    assert not any(re.search(r"\d+\.png$", str(path)) for path in asked)
