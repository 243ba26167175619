"""The metric over objects: its means, and sums over processes that are exact."""

import math

import numpy as np
import pytest
import torch

from sam2_video.metrics import FrameScore, ObjectScores, RegionAndBoundary, mean_scores

STATES = ("totals", "weights", "num_frames")


def random_objects(number, seed=0):
    generator = np.random.default_rng(seed)
    for _ in range(number):
        scores = ObjectScores(1)
        for index in range(generator.integers(1, 30)):
            visible, predicted = generator.random(2) > (0.3 if index else -1)
            j, f = generator.random(2) if visible and predicted else (0.0, 0.0)
            if not visible and not predicted:
                j, f = 1.0, 1.0
            scores.add(index, FrameScore(j, f, j, bool(visible), bool(predicted)))
        yield scores.summary()


def add_all(objects):
    metric = RegionAndBoundary()
    for summary in objects:
        metric.update(summary)
    return metric


def same(left, right):
    return all(left[name] == pytest.approx(right[name], abs=1e-10, nan_ok=True) for name in left)


def test_it_computes_the_means_over_objects():
    objects = list(random_objects(40))
    computed = {name: value.item() for name, value in add_all(objects).compute().items()}
    expected = vars(mean_scores(objects))
    assert same(computed, expected)
    assert computed.keys() == expected.keys()
    assert computed["j"] == pytest.approx(np.mean([summary.j for summary in objects]))
    assert computed["jf"] == pytest.approx((computed["j"] + computed["f"]) / 2)


def test_objects_weigh_the_same_in_j_and_frames_in_mean_iou():
    long, short = ObjectScores(1), ObjectScores(2)
    for index in range(3):
        long.add(index, FrameScore(1.0, 1.0, 1.0, True, True))
    short.add(0, FrameScore(0.0, 0.0, 0.0, True, True))
    scores = add_all([long.summary(), short.summary()]).scores()
    assert (scores.j, scores.mean_iou, scores.num_frames) == (0.5, 0.75, 4)


def test_processes_add_up_to_exactly_what_one_process_has():
    objects = list(random_objects(30, seed=1))
    one, ours, theirs = add_all(objects), add_all(objects[:4]), add_all(objects[:3:-1])
    gathered = iter([getattr(ours, name), getattr(theirs, name)] for name in STATES)
    ours.distributed_available_fn = lambda: True
    ours.dist_sync_fn = lambda value, group: next(gathered)
    summed, alone = ours.compute(), one.compute()
    for name in alone:
        assert torch.equal(summed[name].nan_to_num(), alone[name].nan_to_num()), name


def test_nothing_to_score_is_nan_and_adds_nothing():
    metric = RegionAndBoundary()
    metric.update(None)
    scores = metric.scores()
    assert scores.num_objects == 0
    assert math.isnan(scores.jf)
    assert scores.as_dict()["JF"] is None
    summary = next(random_objects(1))
    metric.update(summary)
    assert metric.scores().j == pytest.approx(summary.j)
    metric.reset()
    assert metric.scores().num_objects == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_masks_and_states_may_lie_on_a_gpu():
    metric = RegionAndBoundary().to("cuda")
    mask = torch.ones(8, 8, dtype=torch.uint8, device="cuda")
    mask[:, 4:] = 0
    scores = ObjectScores(1)
    scores.update(0, mask.bool(), mask)
    metric.update(scores.summary())
    assert metric.compute()["jf"].device.type == "cuda"
    assert metric.compute()["jf"].item() == 1.0
