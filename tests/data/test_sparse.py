"""Tests of sparse labels: LVOS, MOSE and YouTube-VOS with a mask on every fifth frame."""

import json

import pytest

from sam2_video.data.layout import open_dataset
from tests.data.conftest import write_video

# object 2 comes on the third mask; the fourth shows nothing
ROWS = [(1,), *[None] * 4, (1,), *[None] * 4, (1, 2), *[None] * 4, (), *[None] * 3]
OBJECTS = {
    "1": {"category": "seal", "frame_range": {"start": "0", "end": "10", "frame_nums": "3"}},
    "2": {"category": "ball", "frame_range": {"start": "10", "end": "10", "frame_nums": "1"}},
}


@pytest.mark.parametrize("meta", ["train_meta.json", "meta.json", None])
def test_frames_between_masks_say_nothing_and_how_many_have_one_is_said(tmp_path, meta, log):
    for name in ("0tCWPOrc", "1ShuSo1J"):
        write_video(tmp_path / "JPEGImages" / name, tmp_path / "Annotations" / name, ROWS)
    if meta is not None:
        videos = {"0tCWPOrc": {"objects": OBJECTS}, "1ShuSo1J": {"objects": OBJECTS}}
        (tmp_path / meta).write_text(json.dumps({"videos": videos}))
        (tmp_path / "train_expression_meta.json").write_text(json.dumps({"videos": {}}))
    video, _ = open_dataset(tmp_path)
    assert "2 videos, 38 frames, 8 of them annotated" in log[-1]
    assert video.labelled_frames == (0, 5, 10, 15)
    assert [video.is_labelled(i, 2) for i in (0, 1, 5, 15)] == [True, False, True, True]
    assert [video.visible_objects(i) for i in (0, 3, 5, 10, 15)] == [(1,), (), (1,), (1, 2), ()]
    assert video.first_appearance(2) == 10
    assert video.read_masks(15, (1, 2)).sum() == 0  # it says that both are absent
    with pytest.raises(ValueError, match="frame frame_3: no annotation; ask is_labelled"):
        video.read_masks(3, (1,))
    assert dict(video.object_names) == ({} if meta is None else {1: "seal", 2: "ball"})
