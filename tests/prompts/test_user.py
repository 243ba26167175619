"""The simulated user: what is shown and corrected where, and what that depends on."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sam2_video.config import PromptConfig
from sam2_video.prompts import draw_prompts, simulate_user
from sam2_video.structures import IGNORE, ModelClips, PromptKind

HEIGHT, WIDTH = 12, 16
UNLABELLED, ALL_IGNORED, ABSENT, VISIBLE = range(4)
KINDS = PromptConfig()
MASKS = PromptConfig(mask=1.0, box=0.0, point=0.0)
BOXES = PromptConfig(mask=0.0, box=1.0, point=0.0)
TODAY = replace(KINDS, conditioning_frames=1, corrected_frames=0)


def make_clips(states, prompt_frames, object_clip, seeds):
    """Return clips in whose frames objects are in these states; each frame has other masks."""
    states = torch.tensor(states)
    generator = torch.Generator().manual_seed(5)
    shape = (*states.shape, HEIGHT, WIDTH)
    targets = torch.randint(0, 2, shape, generator=generator, dtype=torch.uint8)
    # what an unlabelled frame holds must not matter
    targets[states == ABSENT] = 0
    targets[states == ALL_IGNORED] = IGNORE
    pixels = torch.zeros(len(seeds), states.shape[1], 3, HEIGHT, WIDTH)
    clips = torch.tensor(object_clip)
    return ModelClips(pixels, targets, states != UNLABELLED, clips, prompt_frames, seeds)


def plain_clips(seeds, num_frames=6, objects=1):
    """Return clips of objects that are visible throughout."""
    rows = len(seeds) * objects
    object_clip = [row // objects for row in range(rows)]
    states = [[VISIBLE] * num_frames] * rows
    return make_clips(states, (0,) * rows, object_clip, tuple(seeds)), object_clip


def shown(said):
    """Return the kind of prompt of each (object, frame)."""
    kinds = {}
    for prompt in said.prompts:
        for row, name in enumerate(prompt.objects):
            kind = PromptKind.MASK
            if prompt.labels is not None:
                kind = PromptKind.BOX if 2 in prompt.labels[row].tolist() else PromptKind.POINT
            assert (name, prompt.frame) not in kinds
            kinds[name, prompt.frame] = kind
    return kinds


def corrected(said):
    """Return the (object, frame) that are corrected."""
    pairs = [(name, c.frame) for c in said.corrections for name in c.objects]
    assert len(pairs) == len(set(pairs))
    return set(pairs)


def assert_prompts_are_true(prompts, states):
    """No mask of what is absent, and no padding in place of points."""
    for prompt in prompts:
        for row, name in enumerate(prompt.objects):
            if prompt.masks is not None:
                is_empty = states[name][prompt.frame] == ABSENT
                assert bool(prompt.masks[row].any()) != is_empty
            else:
                assert (prompt.labels[row] >= 1).all()


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        (0, [[0.069, 0.0], [29.809, 20.888]]),
        (1, [[1.582, 2.072], [28.116, 21.363]]),
        (4, [[3.0, 21.0], [5.0, 12.0]]),
        (5, [[13.0, 0.0], [13.0, 19.0]]),
    ],
)
def test_a_seed_draws_the_first_prompts_that_it_always_drew(seed, expected):
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 2, (5, 3, 24, 32), generator=generator).byte()
    clips = ModelClips(
        torch.zeros(2, 3, 3, 24, 32),
        targets,
        torch.ones(5, 3, dtype=torch.bool),
        torch.tensor([0, 0, 1, 1, 1]),
        (0, 2, 0, 2, 2),
        (seed, seed + 100),
    )
    said = simulate_user(clips, [0, 0, 1, 1, 1], replace(TODAY, num_points=2))
    assert said.corrections == ()
    (points,) = [p.points[0] for p in said.prompts if p.objects[0] == 0 and p.frame == 0]
    torch.testing.assert_close(points, torch.tensor(expected), atol=1e-3, rtol=0)


@given(st.integers(0, 2**62))
@settings(max_examples=40, deadline=None)
def test_first_prompts_are_the_same_whatever_follows(seed):
    object_clip, first_frames = [0, 0, 1], (0, 2, 1)
    clips = make_clips([[VISIBLE] * 5] * 3, first_frames, object_clip, (seed, seed + 1))
    said = simulate_user(clips, object_clip, KINDS)
    expected = draw_prompts(clips.targets, first_frames, object_clip, clips.seeds, KINDS)
    for prompt in expected:
        for row, name in enumerate(prompt.objects):
            (found,) = [p for p in said.prompts if p.frame == prompt.frame and name in p.objects]
            other = found.objects.index(name)
            for ours, theirs in ((found.masks, prompt.masks), (found.points, prompt.points)):
                assert (ours is None) == (theirs is None)
                assert ours is None or torch.equal(ours[other], theirs[row])


@given(
    st.integers(0, 2**62),
    st.lists(st.lists(st.sampled_from(range(4)), min_size=5, max_size=5), min_size=1, max_size=4),
    st.integers(1, 4),
    st.integers(0, 4),
    st.data(),
)
@settings(max_examples=80, deadline=None)
def test_objects_are_shown_and_corrected_only_where_that_is_true(
    seed, states, conditioning_frames, corrected_frames, data
):
    first_frames = tuple(data.draw(st.integers(0, 4)) for _ in states)
    for state, first in zip(states, first_frames, strict=True):
        state[:first] = [ABSENT] * first
        state[first] = VISIBLE
    object_clip = [row % 2 for row in range(len(states))]
    clips = make_clips(states, first_frames, object_clip, (seed, seed + 1))
    setting = replace(
        KINDS, conditioning_frames=conditioning_frames, corrected_frames=corrected_frames
    )
    said = simulate_user(clips, object_clip, setting)
    kinds, pairs = shown(said), corrected(said)
    for row, (state, first) in enumerate(zip(states, first_frames, strict=True)):
        frames = sorted(frame for name, frame in kinds if name == row)
        assert frames[0] == first
        assert len(frames) <= conditioning_frames
        for frame in frames[1:]:
            is_mask = kinds[row, frame] is PromptKind.MASK
            assert state[frame] == VISIBLE or (is_mask and state[frame] == ABSENT)
        is_mask = kinds[row, first] is PromptKind.MASK
        assert {kinds[row, frame] is PromptKind.MASK for frame in frames} == {is_mask}
        own = sorted(frame for name, frame in pairs if name == row)
        assert len(own) <= (0 if is_mask else corrected_frames)
        assert all(frame >= first and state[frame] in (ABSENT, VISIBLE) for frame in own)
        if not is_mask and corrected_frames >= conditioning_frames:
            assert set(frames) <= set(own)
    assert_prompts_are_true(said.prompts, states)
    for correction in said.corrections:
        rows = list(correction.objects)
        assert torch.equal(correction.targets, clips.targets[rows, correction.frame])
        assert correction.places.shape == (len(rows), setting.correction_clicks)


def test_as_many_frames_are_shown_and_corrected_as_in_metas_recipe():
    seeds = range(2000)
    clips, object_clip = plain_clips(seeds)
    said = simulate_user(clips, object_clip, KINDS)
    kinds, pairs = shown(said), corrected(said)
    numbers = Counter()
    for row in range(len(seeds)):
        frames = [frame for name, frame in kinds if name == row]
        own = [frame for name, frame in pairs if name == row]
        numbers[kinds[row, 0] is PromptKind.MASK, len(frames), len(own)] += 1
    # masks: 1 or 2 frames; else 1 frame with 1 or 2 corrected, or 2 with both
    expected = {(True, 1, 0): 500, (True, 2, 0): 500}
    expected |= {(False, 1, 1): 250, (False, 1, 2): 250, (False, 2, 2): 500}
    assert numbers.keys() == expected.keys()
    assert all(abs(numbers[key] - count) < 70 for key, count in expected.items())
    further = Counter(frame for _, frame in kinds if frame)
    assert sorted(further) == [1, 2, 3, 4, 5]
    assert min(further.values()) > 0.7 * max(further.values())
    # a second frame is shown by box or by point, whatever the first
    pairs_of_kinds = Counter(
        (kinds[row, 0], kinds[row, frame])
        for row, frame in kinds
        if frame and kinds[row, 0] is not PromptKind.MASK
    )
    assert len(pairs_of_kinds) == 4
    assert all(90 < count < 160 for count in pairs_of_kinds.values())


def test_a_tenth_of_the_clicks_comes_from_the_truth():
    clips, object_clip = plain_clips(range(300))
    said = simulate_user(clips, object_clip, BOXES)
    coins = torch.cat([correction.is_from_truth.flatten() for correction in said.corrections])
    places = torch.cat([correction.places.flatten() for correction in said.corrections])
    assert 0.07 < coins.float().mean() < 0.13
    assert 0.47 < places.mean() < 0.53
    assert places.unique().numel() > 0.99 * places.numel()


@pytest.mark.parametrize(("box", "point", "expected"), [(1.0, 0.0, 1.0), (0.9, 0.1, 0.9)])
def test_further_frames_are_shown_by_box_and_by_point_in_their_shares(box, point, expected):
    clips, object_clip = plain_clips(range(400))
    said = simulate_user(clips, object_clip, replace(BOXES, box=box, point=point))
    further = [kind for (_, frame), kind in shown(said).items() if frame]
    assert abs(further.count(PromptKind.BOX) / len(further) - expected) <= 0.07 * point / 0.1


def test_an_object_is_not_corrected_on_a_frame_that_says_nothing_of_it():
    states = [[VISIBLE] * 4, [VISIBLE, UNLABELLED, ALL_IGNORED, VISIBLE]]
    pairs = set()
    for seed in range(40):
        clips = make_clips(states, (0, 0), [0, 0], (seed,))
        pairs |= corrected(simulate_user(clips, [0, 0], replace(BOXES, conditioning_frames=1)))
    assert pairs == {(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 3)}


def test_fewer_corrected_than_shown_frames_corrects_the_first():
    clips, object_clip = plain_clips(range(50))
    said = simulate_user(clips, object_clip, replace(BOXES, corrected_frames=1))
    assert corrected(said) == {(row, 0) for row in object_clip}
    assert len(shown(said)) > 60


def test_without_clicks_nothing_is_corrected():
    clips, object_clip = plain_clips(range(20))
    assert simulate_user(clips, object_clip, replace(BOXES, correction_clicks=0)).corrections == ()


def test_adding_a_clip_or_padding_changes_nobody_elses_input():
    states = [[VISIBLE, ABSENT, VISIBLE, VISIBLE], [UNLABELLED, VISIBLE, VISIBLE, ABSENT]]
    alone = simulate_user(make_clips(states, (0, 1), [0, 0], (11,)), [0, 0], KINDS)
    longer = [[VISIBLE] * 6, *(state + [UNLABELLED] * 2 for state in states)]
    clips = make_clips(longer, (3, 0, 1), [0, 1, 1], (5, 11))
    together = simulate_user(clips, [0, 1, 1], KINDS)

    def others(kinds):
        return {(name - 1, frame): kind for (name, frame), kind in kinds.items() if name}

    assert others(shown(together)) == shown(alone)
    assert {(name - 1, frame) for name, frame in corrected(together) if name} == corrected(alone)
    for correction in alone.corrections:
        (other,) = [c for c in together.corrections if c.frame == correction.frame]
        rows = [other.objects.index(name + 1) for name in correction.objects]
        assert torch.equal(other.places[rows], correction.places)
        assert torch.equal(other.is_from_truth[rows], correction.is_from_truth)


def test_where_a_mask_would_leave_nothing_to_predict_a_box_or_a_point_is_shown():
    still = [[VISIBLE, UNLABELLED, UNLABELLED]]
    for seed in range(30):
        clips = make_clips(still, (0,), [0], (seed,))
        said = simulate_user(clips, [0], KINDS)
        (kind,) = shown(said).values()
        assert kind is not PromptKind.MASK
        assert corrected(said) == {(0, 0)}
        assert set(shown(simulate_user(clips, [0], MASKS)).values()) == {PromptKind.MASK}
