"""Tests of training on several data sets, still images and pasted objects together."""

import math
from dataclasses import replace

import pytest
from PIL import Image

from sam2_video.config import PromptConfig
from sam2_video.data.collate import collate_clips
from sam2_video.data.dataset import ClipDataset, ClipSet
from sam2_video.data.layout import open_dataset
from sam2_video.data.sampling import ClipSettings
from sam2_video.files import read_numbers
from sam2_video.training.shown_clips import show_clips
from sam2_video.visualise import draw_clips


@pytest.fixture
def stills(data, tmp_path):
    """Return a folder of single images, each with its mask, under `images` and `masks`."""
    for kind, tree, suffix in (("images", "videos", "jpg"), ("masks", "masks", "png")):
        (tmp_path / kind).mkdir()
        for video in sorted((data / tree).iterdir())[:3]:
            picture = Image.open(video / f"frame_000.{suffix}")
            picture.save(tmp_path / kind / f"{video.name}.{suffix}")
    return str(tmp_path)


def test_videos_and_stills_train_together_under_a_schedule_with_pasted_objects(
    run, data, stills, tmp_path
):
    more = [
        {"data_path": stills, "format": "images", "still_images": "motion", "weight": 1.5},
        {"data_path": stills, "format": "images", "still_images": "single"},
        {"data_path": str(data / "coco.json"), "weight": 0.4},
    ]
    result = run(
        tmp_path / "run",
        dataset__more=more,
        dataset__paste_probability=0.5,
        dataset__frame_stride_schedule=[[0.5, 2]],
        dataset__batch_size=4,
    )
    rows = read_numbers(tmp_path / "run" / "metrics.csv")
    losses = [float(row["train/loss"]) for row in rows if row.get("train/loss")]
    # 4 + 4 + 3 + 2 clips an epoch
    assert len(losses) == 2 * math.ceil(13 / 4)
    assert all(math.isfinite(loss) for loss in losses)
    assert result.is_finished


def test_pictures_show_padded_clips_and_pasted_objects(data):
    videos = open_dataset(data / "videos", data / "masks")
    stills = open_dataset(data / "videos/video_000", data / "masks/video_000", "images")[:2]
    pasted = ClipSettings(3, (1, 1), 0.0, 9, paste_probability=1.0)
    single = replace(pasted, paste_probability=0.0, still_images="single")
    dataset = ClipDataset([ClipSet(tuple(videos), pasted), ClipSet(tuple(stills), single)], 0)
    batch = collate_clips([dataset[0, 0], dataset[0, len(videos)]])
    assert min(batch.sources[0].object_ids) < 0
    by_name = {video.video_id: video for video in [*videos, *stills]}
    clips = show_clips(batch, (64, 64), PromptConfig(), None, by_name)
    assert [len(clip.frame_names) for clip in clips] == [3, 3]
    assert len(set(clips[0].rows)) == len(clips[0].object_ids)
    assert draw_clips(clips, "clips").any()


def test_single_frames_alone_are_refused_where_they_teach_nothing(run, stills, tmp_path):
    settings = {"dataset__data_path": stills, "dataset__masks_path": None}
    settings |= {"dataset__format": "images", "dataset__still_images": "single"}
    with pytest.raises(ValueError, match=r"3 of 3 videos give clips of one frame.*memory.*motion"):
        run(tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_some_single_frames_that_teach_nothing_are_told(run, stills, tmp_path, said):
    more = [{"data_path": stills, "format": "images", "still_images": "single"}]
    run(tmp_path / "run", dataset__more=more, trainer__max_epochs=1)
    assert any("3 of 7 videos give clips of one frame" in line for line in said)
