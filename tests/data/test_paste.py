"""Tests of pasting a second clip's objects: what is hidden, what is known, who is a target."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sam2_video.data import paste
from sam2_video.data.dataset import ClipDataset, ClipSet
from sam2_video.data.directory import open_video_directory
from sam2_video.data.paste import draw_donor, paste_objects
from sam2_video.data.sampling import ClipSettings
from sam2_video.structures import Clip

SIZE = 64


def make_clip(*areas, num_frames=2, size=SIZE, value=0):
    """Return a clip whose objects are rectangles (top, bottom, left, right)."""
    masks = torch.zeros(len(areas), num_frames, size, size, dtype=torch.uint8)
    for mask, (top, bottom, left, right) in zip(masks, areas, strict=True):
        mask[:, top:bottom, left:right] = 1
    count = len(areas)
    return Clip(
        video_id="a",
        frame_names=tuple(map(str, range(num_frames))),
        frames=torch.full((num_frames, 3, size, size), value, dtype=torch.uint8),
        masks=masks,
        labelled=torch.ones(count, num_frames, dtype=torch.bool),
        object_ids=tuple(range(1, count + 1)),
        prompt_frames=(0,) * count,
        seed=7,
    )


@pytest.fixture
def in_place(monkeypatch):
    """Let pasted objects stay where they are in their own video."""
    monkeypatch.setattr(paste, "LARGEST_SHIFT", 0.0)


def generator(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.usefixtures("in_place")
def test_pasted_objects_hide_what_they_cover_and_become_targets():
    clip, donor = make_clip((10, 40, 10, 40)), make_clip((20, 60, 20, 60), value=200)
    pasted = paste_objects(clip, donor, 3, generator())
    assert pasted.object_ids == (1, -1)
    assert not ((pasted.masks[0] == 1) & (pasted.masks[1] == 1)).any()
    assert torch.equal((pasted.masks == 1).any(0), ((clip.masks == 1) | (donor.masks == 1))[0])
    assert torch.equal(pasted.masks[1], donor.masks[0])
    assert pasted.labelled.all()
    assert (pasted.seed, pasted.video_id) == (7, "a")
    assert clip.frames.max() == 0


@pytest.mark.usefixtures("in_place")
def test_frames_are_blended_over_a_soft_edge_and_masks_are_hard():
    donor = make_clip((16, 48, 16, 48), value=200)
    frame = paste_objects(make_clip((0, 2, 0, 2)), donor, 3, generator()).frames[0, 0]
    assert (frame[28:36, 28:36] == 200).all()
    assert (frame[:8] == 0).all()
    edge = frame[32, 12:21].tolist()
    assert edge == sorted(edge)
    assert 80 < edge[4] < 180
    assert len(set(edge)) > 4


@pytest.mark.usefixtures("in_place")
def test_ignored_pixels_of_the_donor_are_not_pasted_and_covered_ones_are_known():
    clip, donor = make_clip((0, 20, 0, 20)), make_clip((30, 60, 0, 60), value=200)
    clip.masks[:, :, 30:40] = 255
    donor.masks[:, :, 50:] = 255
    pasted = paste_objects(clip, donor, 3, generator())
    assert (pasted.masks[0, :, 30:40, :60] == 0).all()
    assert (pasted.masks[0, :, 30:40, 60:] == 255).all()
    assert set(pasted.masks[1].unique().tolist()) == {0, 1}
    assert not pasted.masks[1, :, 50:].any()
    assert (pasted.frames[:, :, 56:] == 0).all()


@pytest.mark.usefixtures("in_place")
def test_an_object_hidden_throughout_is_no_target_and_one_hidden_at_first_is_prompted_later():
    clip = make_clip((20, 30, 20, 30), (0, 10, 0, 10))
    donor = make_clip((0, 40, 0, 40), value=9)
    assert paste_objects(clip, donor, 3, generator()).object_ids == (-1,)
    donor.masks[:, 1] = 0
    pasted = paste_objects(clip, donor, 3, generator())
    assert pasted.object_ids == (1, 2, -1)
    assert pasted.prompt_frames == (1, 1, 0)


@pytest.mark.usefixtures("in_place")
def test_unlabelled_frames_of_the_clip_stay_so_for_its_own_objects_alone():
    clip = make_clip((0, 9, 0, 9))
    clip.labelled[0, 1] = False
    clip.masks[0, 1] = 0
    pasted = paste_objects(clip, make_clip((40, 60, 40, 60)), 3, generator())
    assert pasted.labelled.tolist() == [[True, False], [True, True]]


@pytest.mark.usefixtures("in_place")
def test_a_donor_of_another_size_is_resized():
    donor = make_clip((16, 48, 16, 48), size=128, value=200)
    pasted = paste_objects(make_clip((0, 2, 0, 2)), donor, 3, generator())
    assert torch.equal(pasted.masks[1], make_clip((8, 24, 8, 24)).masks[0])
    smaller = replace(donor, frames=donor.frames[..., ::4, ::4].contiguous())
    pasted = paste_objects(make_clip((0, 2, 0, 2)), smaller, 3, generator())
    assert (pasted.frames[:, :, 12:20, 12:20] == 200).all()


def test_frames_and_masks_of_another_size_move_by_one_offset(monkeypatch):
    monkeypatch.setattr(paste, "_draw_offset", lambda *_: (3, 5))
    donor = make_clip((20, 40, 20, 40))
    rows, columns = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    donor.frames[:] = (3 * rows + columns).byte()
    clip = make_clip((0, 2, 0, 2))
    pasted = paste_objects(clip, donor, 3, generator())
    assert torch.equal(pasted.masks[1], make_clip((23, 43, 25, 45)).masks[0])
    inside = pasted.frames[:, :, 29:37, 31:39]
    assert torch.equal(inside, donor.frames[:, :, 26:34, 26:34])
    # an offset is in pixels of the frames, which may be decoded at half the size of the masks
    halved = replace(clip, frames=clip.frames[..., ::2, ::2].contiguous())
    pasted = paste_objects(halved, donor, 3, generator())
    assert torch.equal(pasted.masks[1], make_clip((26, 46, 30, 50)).masks[0])


def test_targets_are_drawn_evenly_from_both_clips():
    clip = make_clip((0, 9, 0, 9), (50, 60, 0, 9))
    donor = make_clip((30, 36, 30, 36), (40, 46, 30, 36))
    ids = [paste_objects(clip, donor, 2, generator(seed)).object_ids for seed in range(200)]
    assert all(len(names) == 2 for names in ids)
    counts = {name: sum(name in names for names in ids) for name in (1, 2, -1, -2)}
    assert min(counts.values()) > 60


def test_an_object_cut_by_an_edge_of_its_video_stays_at_that_edge():
    donor = make_clip((20, 40, 0, 20), value=200)
    columns, rows = set(), set()
    for seed in range(30):
        mask = paste_objects(make_clip((60, 62, 60, 62)), donor, 3, generator(seed)).masks[-1, 0]
        assert mask[:, 0].any()
        columns.add(int(mask.any(0).sum()))
        rows.add(int(mask.any(1).nonzero()[0]))
    assert len(columns) > 5
    assert len(rows) > 10


def settings(**changes):
    return ClipSettings(3, (1, 1), 0.0, 2, **changes)


def test_only_clips_labelled_throughout_give_objects(video_directory):
    rows = {"a": [(1,)] * 5, "b": [(1,), None, (1,), None, (1,)], "c": [(1,), None] * 3}
    videos = open_video_directory(video_directory(**rows))
    options = settings(paste_probability=1.0)
    for seed in range(20):
        sequence = np.random.SeedSequence(seed)
        assert draw_donor(videos, 0, options, sequence, 0.0) is None
        donor = draw_donor(videos, 1, options, sequence, 0.0)
        assert donor is not None
        assert donor.video == 0


def test_the_share_of_clips_follows_the_probability_and_is_a_function_of_the_seed(video_directory):
    rows = {name: [(1, 2)] * 5 for name in "abcd"}
    videos = tuple(open_video_directory(video_directory(**rows)))

    def draw(probability):
        options = replace(settings(paste_probability=probability), max_objects=9)
        return ClipDataset([ClipSet(videos, options, 25.0)], 3, (24, 32))

    plain, pasted = draw(0.0), draw(0.4)
    count = 0
    for index in range(0, 100, 2):
        one, other = plain[1, index], pasted[1, index]
        assert (one.seed, one.frame_names) == (other.seed, other.frame_names)
        is_pasted = any(name < 0 for name in other.object_ids)
        assert is_pasted or torch.equal(one.frames, other.frames)
        assert torch.equal(other.frames, pasted[1, index].frames)
        count += is_pasted
    assert 10 < count < 30


def test_a_set_of_one_video_pastes_nothing(video_directory):
    videos = open_video_directory(video_directory(a=[(1,)] * 5))
    options = settings(paste_probability=1.0)
    assert draw_donor(videos, 0, options, np.random.SeedSequence(0), 0.0) is None


def test_one_to_all_objects_are_taken_each_number_as_often(video_directory):
    videos = open_video_directory(video_directory(a=[(1,)] * 5, b=[(1, 2)] * 5))
    options = settings(paste_probability=1.0)
    donors = [draw_donor(videos, 0, options, np.random.SeedSequence(n), 0.0) for n in range(60)]
    chosen = [donor.plan.object_ids for donor in donors if donor is not None]
    assert {len(names) for names in chosen} == {1, 2}
    assert all(chosen.count(names) > 5 for names in ((1,), (2,), (1, 2)))


def test_a_still_whose_objects_are_pasted_is_as_long_as_the_clip(video_directory):
    videos = open_video_directory(video_directory(a=[(1,)] * 5, still=[(1,)]))
    options = settings(paste_probability=1.0, still_images="single")
    donor = draw_donor(videos, 0, options, np.random.SeedSequence(0), 0.0)
    assert donor is not None
    assert donor.plan.frames == (0, 0, 0)
