"""Tests on real annotated clips: DAVIS and COCO forms agree, and awkward videos keep meaning."""

import pytest
import torch

from sam2_video.data.dataset import ClipDataset, ClipSet
from sam2_video.data.layout import open_dataset
from sam2_video.data.sampling import ClipSettings


@pytest.fixture(scope="module")
def forms(shared_data):
    coco = open_dataset(shared_data / "coco" / "train_rle.json", shared_data)
    polygons = open_dataset(shared_data / "coco" / "train_polygon.json", shared_data)
    names = {video.video_id for video in coco}
    davis = [v for v in open_dataset(shared_data / "davis") if v.video_id in names]
    assert [v.video_id for v in davis] == [v.video_id for v in coco]
    assert [v.video_id for v in polygons] == [v.video_id for v in coco]
    return davis, coco, polygons


def test_davis_and_coco_forms_of_whole_videos_are_identical(forms):
    for one, two in zip(forms[0], forms[1], strict=True):
        assert one.size == two.size
        assert one.frame_names == two.frame_names
        assert tuple(i % 100 for i in two.object_ids) == one.object_ids
        for i in range(0, one.num_frames, 8):
            assert torch.equal(one.read_frame(i), two.read_frame(i))
        for i in range(one.num_frames):
            masks = one.read_masks(i, one.object_ids)
            assert torch.equal(masks, two.read_masks(i, two.object_ids))


def test_davis_and_coco_forms_give_identical_clips(forms):
    settings = ClipSettings(length=5, frame_stride=(1, 3), reverse_probability=0.5, max_objects=3)
    datasets = [
        ClipDataset([ClipSet(tuple(videos), settings)], 7, (128, 128)) for videos in forms[:2]
    ]
    for index in range(len(datasets[0])):
        one, two = (dataset[2, index] for dataset in datasets)
        assert torch.equal(one.frames, two.frames)
        assert torch.equal(one.masks, two.masks)
        assert torch.equal(one.labelled, two.labelled)
        assert (one.prompt_frames, one.seed) == (two.prompt_frames, two.seed)


def test_polygons_are_close_to_the_masks(forms):
    for one, two in zip(forms[0], forms[2], strict=True):
        for i in range(0, one.num_frames, 4):
            truth = one.read_masks(i, one.object_ids) == 1
            drawn = two.read_masks(i, two.object_ids) == 1
            union = (truth | drawn).flatten(1).sum(1)
            iou = (truth & drawn).flatten(1).sum(1)[union > 0] / union[union > 0]
            assert iou.min() > 0.75, (one.video_id, i)


def test_awkward_videos_keep_their_meaning(shared_data):
    edge = {video.video_id: video for video in open_dataset(shared_data / "davis_edge")}
    caps = edge["caps"]
    assert caps.labelled_frames == (0, 14, 33, 43, 66)
    assert caps.first_appearance(2) == 33
    crop = edge["dogs-jump-crop"]
    absent = [66 - sum(o in crop.visible_objects(i) for i in range(66)) for o in (1, 2)]
    assert absent == [13, 10]
    void = edge["tennis-void255"]
    masks = void.read_masks(0, void.object_ids)
    assert 255 in masks.unique()
    assert 255 not in void.object_ids
    assert torch.equal(masks[0] == 255, masks[1] == 255)


def test_every_edge_video_gives_clips(shared_data):
    videos = open_dataset(shared_data / "davis_edge")
    dataset = ClipDataset([ClipSet(tuple(videos), ClipSettings(8, (1, 4), 0.5, 3))], 0, (64, 64))
    for epoch in range(2):
        for index in range(len(dataset)):
            clip = dataset[epoch, index]
            rows = range(len(clip.object_ids))
            assert all((clip.masks[i, clip.prompt_frames[i]] == 1).any() for i in rows)
            assert all(clip.labelled[i, clip.prompt_frames[i]] for i in rows)
