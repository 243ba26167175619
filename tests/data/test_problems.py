"""Videos that cannot be opened: an error each, or a line each beside the others."""

import json
import shutil

import pytest

from sam2_video.data.layout import open_dataset
from sam2_video.data.synthetic import write_dataset


@pytest.fixture
def data(tmp_path):
    write_dataset(
        tmp_path / "data", 1, num_videos=3, num_frames=2, size=(32, 32), num_objects=(1, 1)
    )
    return tmp_path / "data"


def as_davis(data):
    (data / "videos").rename(data / "JPEGImages")
    (data / "masks").rename(data / "Annotations")
    shutil.rmtree(data / "Annotations/video_001")
    (data / "coco.json").unlink()
    return data, None


def as_directory(data):
    for path in (data / "videos/video_001").iterdir():
        path.unlink()
    return data / "videos", data / "masks"


def as_coco(data):
    content = json.loads((data / "coco.json").read_text())
    (data / content["images"][2]["file_name"]).unlink()
    return data / "coco.json", None


@pytest.mark.parametrize("damage", [as_davis, as_directory, as_coco])
def test_the_other_videos_are_opened_where_problems_are_asked_for(data, damage):
    path, masks = damage(data)
    problems = {}
    videos = open_dataset(path, masks, problems=problems)
    assert [video.video_id for video in videos] == ["video_000", "video_002"]
    assert list(problems) == ["video_001"]
    with pytest.raises((ValueError, OSError)) as error:
        open_dataset(path, masks)
    assert str(error.value) == problems["video_001"]
