"""Region similarity: its values, its averages and its sum over processes."""

import math

import pytest
import torch

from sam2_video.metrics import RegionSimilarity, region_similarity


def masks(*rows):
    return torch.tensor(rows, dtype=torch.uint8).unsqueeze(1)


def test_j_is_overlap_over_union_without_ignored_pixels():
    target = masks([1, 1, 0, 0], [1, 1, 255, 0], [0, 0, 0, 255])
    prediction = masks([1, 0, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1]).bool()
    assert region_similarity(prediction, target).tolist() == pytest.approx([1 / 3, 1.0, 1.0])


def test_one_empty_mask_scores_zero_and_two_score_one():
    target = masks([0, 0], [1, 1], [0, 0])
    prediction = masks([1, 0], [0, 0], [0, 0]).bool()
    assert region_similarity(prediction, target).tolist() == [0, 0, 1]


def test_areas_do_not_wrap_around_at_256_pixels():
    target = torch.ones(1, 32, 32, dtype=torch.uint8)
    prediction = torch.ones(1, 32, 32, dtype=torch.bool)
    prediction[:, 16:] = False  # 512 of 1024 pixels: both are 0 modulo 256
    assert region_similarity(prediction, target).item() == 0.5


def test_an_all_ignored_frame_has_no_j_and_counts_nowhere():
    target = masks([255, 255], [1, 0])
    prediction = masks([1, 1], [1, 1]).bool()
    assert math.isnan(region_similarity(prediction, target)[0].item())
    metric = RegionSimilarity()
    metric.update(region_similarity(prediction, target))
    metric.update(region_similarity(prediction[:1], target[:1]))
    metric.update(region_similarity(prediction[:0], target[:0]))
    assert metric.num_objects.item() == 1
    assert metric.compute().item() == 0.5


def test_objects_weigh_the_same_however_many_frames_they_have():
    metric = RegionSimilarity()
    thrice = masks([1, 0], [1, 0], [1, 0])
    metric.update(region_similarity(thrice.bool(), thrice))
    metric.update(region_similarity(masks([0, 1]).bool(), masks([1, 0])))
    assert metric.compute().item() == 0.5
    metric.reset()
    metric.update(region_similarity(masks([1, 1]).bool(), masks([1, 0])))
    assert metric.compute().item() == 0.5


def test_processes_with_different_numbers_of_objects_add_up():
    good, bad = masks([1, 0]), masks([0, 1])
    ours, theirs = RegionSimilarity(), RegionSimilarity()
    ours.update(region_similarity(good.bool(), good))
    for _ in range(3):
        theirs.update(region_similarity(bad.bool(), good))
    gathered = iter([[ours.total, theirs.total], [ours.num_objects, theirs.num_objects]])
    ours.distributed_available_fn = lambda: True
    ours.dist_sync_fn = lambda value, group: next(gathered)
    assert ours.compute().item() == 0.25
