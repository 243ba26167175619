"""Names out of strangers' files, where they become names of files that are written."""

import os

import pytest
from PIL import Image

from sam2_video.data.coco import open_coco
from sam2_video.data.ytvis import open_ytvis
from sam2_video.evaluation.folder import FinishedVideo, keep_video, read_video
from sam2_video.feature_cache import readable
from sam2_video.inference import FrameMasks, MaskWriter
from sam2_video.inference.mask_files import file_name
from tests.hostile.test_files import coco, write, ytvis
from tests.made_up import rectangle, tracked_frame

NAMES = [
    "..",
    ".",
    "/",
    "",
    "a/../../b",
    "/etc/passwd",
    "..\\..\\b",
    "C:\\b",
    "\\\\host\\share\\b",
    "a\0b",
    "a\nb",
    "x" * 5000,
    "影" * 200,
    "a/" * 400 + "b",
    "\udcff" * 200,
]


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    Image.new("RGB", (4, 4)).save(folder / "0.png")
    return folder


def files_in(path):
    return {one for one in path.rglob("*") if one.is_file()}


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name[:20]))
@pytest.mark.parametrize("make", [file_name, lambda name: f"{readable(name)}-digest.features"])
def test_a_name_becomes_that_of_one_file_which_can_be_written(tmp_path, make, name):
    path = tmp_path / make(name)
    path.write_text("")
    assert [*tmp_path.iterdir()] == [path]
    assert path.is_file()
    assert len(os.fsencode(path.name)) < 240


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name[:20]))
def test_masks_and_scores_stay_in_the_folder(tmp_path, name):
    out = tmp_path / "run" / "out"
    logits = rectangle(2, 4).float() * 20 - 10
    for layout in ("davis", "objects"):
        folder = out / layout
        writer = MaskWriter(folder, name, [name, "other"], [3], layout)
        writer.write(0, FrameMasks(tracked_frame(0, {3: logits}), layout))
        (written,) = files_in(folder)
        assert len(written.relative_to(folder).parts) == (2 if layout == "davis" else 3)
    keep_video(out, FinishedVideo(name, (), 1, 0.5))
    assert read_video(out, name) == FinishedVideo(name, (), 1, 0.5)
    assert all(out in path.parents for path in files_in(tmp_path))


def test_long_names_that_differ_late_stay_apart():
    one, other = (file_name("x" * 1000 + end) for end in "ab")
    assert one != other


@pytest.mark.parametrize("name", ["..", "a/../../b", "/etc/passwd"])
@pytest.mark.parametrize(("make", "read"), [(coco, open_coco), (ytvis, open_ytvis)])
def test_a_video_with_such_a_name_is_written_into_the_folder(data, make, read, name):
    (video,) = read(write(data, make(name=name)))
    before = files_in(data.parent)
    out = data / "out"
    MaskWriter(out, video.video_id, video.frame_names, [1], "davis").write(
        0, FrameMasks(tracked_frame(0, {1: rectangle(2, 4).float()}), "davis")
    )
    (new,) = files_in(data.parent) - before
    assert new.parent.parent == out
