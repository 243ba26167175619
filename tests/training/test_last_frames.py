"""Frames that nothing is learned from are not tracked, and nothing that is learned changes."""

from dataclasses import replace

import pytest
import torch

from sam2_video.config import PromptConfig
from sam2_video.model import unroll
from sam2_video.structures import ClipBatch, FrameOutput
from tests.model.micro import mask_prompt, micro_model, noise
from tests.training.batches import make_batch
from tests.training.test_parts import CLICKS, MASKS, assert_same, learn

LAST = (2, 2, 4, 3, 5, 3, 1)
"""Of each object the last labelled frame."""


def cut_batch():
    """A batch of six frames whose objects are labelled up to different ones, some late."""
    batch = make_batch(num_frames=6)
    labelled = batch.labelled.clone()
    for row, last in enumerate(LAST):
        labelled[row, last + 1 :] = False
    labelled[-1, 1] = True
    return replace(batch, labelled=labelled)


def track_to_the_end(monkeypatch):
    monkeypatch.setattr(ClipBatch, "find_last_frames", lambda self: (5,) * len(LAST))


@pytest.fixture
def steps(monkeypatch):
    """Return the frames and objects of the steps that are made, and whether memory was encoded."""
    made, original = [], unroll.track_frame

    def spy(network, features, bank, frame, objects, *args, is_memory_needed, **kwargs):
        made.append((frame, tuple(objects), is_memory_needed))
        return original(
            network,
            features,
            bank,
            frame,
            objects,
            *args,
            is_memory_needed=is_memory_needed,
            **kwargs,
        )

    monkeypatch.setattr(unroll, "track_frame", spy)
    return made


def test_the_last_labelled_frame_is_noted_before_the_batch_leaves_the_host():
    batch = cut_batch()
    assert batch.find_last_frames() == LAST
    assert batch.to("cpu").last_frames == LAST
    empty = replace(batch, labelled=torch.zeros_like(batch.labelled))
    assert empty.find_last_frames() == (-1,) * len(LAST)


@pytest.mark.parametrize(
    ("prompts", "settings"),
    [
        (MASKS, {}),
        (CLICKS, {}),
        (replace(CLICKS, correction_clicks=3, corrected_frames=3, conditioning_frames=3), {}),
        (CLICKS, {"objects_at_once": 2}),
        (MASKS, {"activation_checkpointing": "frames"}),
    ],
    ids=["masks", "clicks", "more clicks", "parts", "recomputed"],
)
def test_what_is_learned_is_the_same(prompts, settings, monkeypatch, steps):
    found = learn(("memory", "mask_decoder"), prompts, batch=cut_batch(), **settings)
    num_steps = len(steps)
    steps.clear()
    track_to_the_end(monkeypatch)
    assert_same(found, learn(("memory", "mask_decoder"), prompts, batch=cut_batch(), **settings))
    assert num_steps < len(steps)


def test_each_cohort_ends_with_its_last_labelled_frame(steps):
    learn(
        prompts=PromptConfig(
            mask=1.0, box=0.0, point=0.0, conditioning_frames=1, corrected_frames=0
        ),
        batch=cut_batch(),
    )
    frames = {}
    for frame, objects, is_memory_needed in steps:
        for name in objects:
            frames.setdefault(name, []).append((frame, is_memory_needed))
    # objects 0, 1, 4 and 6 are prompted on frame 0, 2 on 1, 3 and 5 on 2
    for name, first, last in [(0, 0, 5), (6, 0, 5), (2, 1, 4), (3, 2, 3), (5, 2, 3)]:
        assert frames[name] == [(f, f < last) for f in range(first, last + 1)]


def test_a_prompted_frame_is_kept_wherever_it_is():
    model = micro_model(["memory"]).train()
    prompts = [mask_prompt(0, (0,)), mask_prompt(3, (0,))]
    features = model.encode(noise(1, 5)[0])
    whole, cut = (
        model.track_encoded(features, torch.tensor([0]), prompts, 5, last_frames=last)
        for last in (None, [1])
    )
    assert [output.frame for output in cut] == [0, 3, 1]
    by_frame: dict[int, FrameOutput] = {output.frame: output for output in whole}
    for output in cut:
        assert torch.equal(output.mask_logits, by_frame[output.frame].mask_logits)


def test_an_object_that_is_only_given_leaves_no_memory(steps):
    model = micro_model(["memory"]).train()
    features = model.encode(noise(1, 3)[0])
    prompts = [mask_prompt(0, (0,)), mask_prompt(2, (0,))]
    outputs = model.track_encoded(features, torch.tensor([0]), prompts, 3, last_frames=[0])
    assert [output.frame for output in outputs] == [0, 2]
    assert not any(is_memory_needed for *_, is_memory_needed in steps)
