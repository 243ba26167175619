"""Videos that cannot be scored: a line each, and the others are scored."""

import shutil

import pytest
from PIL import Image

from tests.evaluation.conftest import numbers


@pytest.fixture
def damaged(data, tmp_path):
    """Return a copy of the data with a video for everything that can be wrong with one."""
    folder = tmp_path / "damaged"
    shutil.copytree(data / "videos", folder / "videos")
    shutil.copytree(data / "masks", folder / "masks")
    for name in ("corrupt", "cut", "blank", "short", "unmasked"):
        shutil.copytree(folder / "videos/video_000", folder / "videos" / name)
        shutil.copytree(folder / "masks/video_000", folder / "masks" / name)
    (folder / "videos/corrupt/frame_003.jpg").write_bytes(b"no image")
    mask = folder / "masks/cut/frame_002.png"
    mask.write_bytes(mask.read_bytes()[:60])
    blank = folder / "masks/blank"
    for path in blank.iterdir():
        with Image.open(path) as image:
            Image.new("P", image.size).save(path)
    for path in (folder / "masks/short").iterdir():
        if path.stem not in ("frame_000", "frame_005"):
            path.unlink()
    shutil.rmtree(folder / "masks/unmasked")
    (folder / "videos/empty").mkdir()
    return folder


REASONS = {
    "blank": "no object is visible on any labelled frame",
    "corrupt": "frame_003.jpg: the image cannot be read",
    "cut": "frame_002.png: the mask cannot be read",
    "empty": "no images in this folder",
    "short": "no object is visible on a frame that counts: 2 annotated frames",
    "unmasked": "no masks: the folder",
}


def test_what_cannot_be_scored_is_a_line_each_and_the_rest_is_scored(
    damaged, evaluated, whole, tmp_path
):
    paths = {"data_path": damaged / "videos", "masks_path": damaged / "masks"}
    found = evaluated(**paths, out=tmp_path / "out", save_masks=True)
    assert [item.video for item in found.report.left_out] == list(REASONS)
    for item in found.report.left_out:
        assert REASONS[item.video] in item.reason
        assert "\n" not in item.reason
    assert numbers(found.report) == numbers(whole.report)
    # those that were asked for alone
    chosen = evaluated(**paths, videos=["empty", "video_001"])
    assert [item.video for item in chosen.report.left_out] == ["empty"]


def test_a_mended_video_is_evaluated_when_the_evaluation_goes_on(
    damaged, evaluated, data, tmp_path
):
    paths = {"data_path": damaged / "videos", "masks_path": damaged / "masks"}
    settings = {"videos": ["corrupt", "video_001"], "out": tmp_path / "out", **paths}
    assert len(evaluated(**settings).report.left_out) == 1
    name = "frame_003.jpg"
    shutil.copy(data / "videos/video_000" / name, damaged / "videos/corrupt" / name)
    again = evaluated(**settings)
    assert again.report.left_out == ()
    assert [video.video for video in again.report.videos] == ["corrupt", "video_001"]
