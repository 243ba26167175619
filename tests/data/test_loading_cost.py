"""What a clip costs to load: no frame, mask or object is decoded that it does not show."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sam2_video.config import DatasetConfig
from sam2_video.data import recording
from sam2_video.data.check import inspect_data
from sam2_video.data.dataset import ClipDataset, ClipSet, read_clip
from sam2_video.data.layout import open_dataset
from sam2_video.data.recording import MOST_OPEN, Recording
from sam2_video.data.sampling import ClipSettings, draw_clip
from sam2_video.data.synthetic import write_dataset
from sam2_video.visualise import encode_mp4

NUM_FRAMES, SIZE = 20, (240, 320)
SETTINGS = ClipSettings(length=4, frame_stride=(1, 3), reverse_probability=0.5, max_objects=1)


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_dataset(tmp_path / "data", 0, 2, NUM_FRAMES, SIZE, (3, 3))
    return tmp_path / "data"


@pytest.fixture
def calls(monkeypatch):
    """Return a function that counts, by their first argument, the calls of a function from now."""

    def count(name: str) -> Counter:
        module, function = name.rsplit(".", 1)
        whole = __import__(module, fromlist=[function])
        original, counted = getattr(whole, function), Counter()

        def call(first, *rest, **named):
            counted[str(first) if isinstance(first, Path) else "all"] += 1
            return original(first, *rest, **named)

        monkeypatch.setattr(whole, function, call)
        return counted

    return count


def draw(video, seed=3):
    plan = draw_clip(video, SETTINGS, np.random.SeedSequence(seed))
    assert len(set(plan.frames)) == SETTINGS.length
    return plan


def test_only_the_frames_of_a_clip_are_decoded_each_once_and_reduced(data, calls):
    video = open_dataset(data / "videos", data / "masks")[0]
    plan = draw(video)
    frames = calls("sam2_video.data.source.read_rgb")
    clip = read_clip(video, plan, (120, 160))
    assert frames == {str(video.frames.paths[index]): 1 for index in plan.frames}
    assert clip.frames.shape[2:] == (120, 160)
    assert clip.masks.shape[2:] == SIZE


def test_after_a_check_training_decodes_no_mask_but_those_of_its_clips(data, calls):
    paths = {"data_path": str(data / "videos"), "masks_path": str(data / "masks")}
    inspect_data(DatasetConfig(**paths), 0)
    videos = open_dataset(data / "videos", data / "masks")
    counted = calls("sam2_video.data.folder.read_mask_areas")
    decoded = calls("sam2_video.data.folder.read_mask_image")
    clips = ClipDataset([ClipSet(tuple(videos), SETTINGS)], 0)
    for index in range(len(clips)):
        clips[0, index]
    assert not counted
    assert sum(decoded.values()) == SETTINGS.length * len(clips)


def test_of_coco_masks_the_chosen_objects_are_decoded(data, calls):
    video = open_dataset(data / "coco.json")[0]
    assert len(video.object_ids) == 3
    plan = draw(video)
    assert len(plan.object_ids) == 1
    decoded = calls("sam2_video.data.coco_video.decode_rle")
    clip = read_clip(video, plan)
    assert decoded["all"] == int((clip.masks == 1).flatten(2).any(-1).sum())


def test_few_video_files_stay_open(tmp_path):
    for number in range(MOST_OPEN + 2):
        picture = np.full((32, 48, 3), 40 * number, dtype=np.uint8)
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(encode_mp4((picture for _ in range(3)), 24))
        Recording(path).read(1)
    kept = recording._open_files()._files
    assert [path.name for path in kept] == [f"{number}.mp4" for number in range(2, MOST_OPEN + 2)]
