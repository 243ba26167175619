"""Clips of a batch: every object alone with its own memory, whatever runs beside it."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sam2_video.model.sam2 import SAM2Model
from sam2_video.model.unroll import form_cohorts
from sam2_video.structures import Prompt
from tests.model.micro import (
    assert_same,
    box_prompt,
    by_object,
    mask_prompt,
    micro_model,
    noise,
    old_micro_model,
    point_prompt,
    relative,
    squares,
)

NUM_FRAMES = 4
OBJECT_CLIP = torch.tensor([0, 0, 1, 1, 1])
PROMPTS = (
    mask_prompt(0, (1, 2)),
    box_prompt(0, (0,)),
    point_prompt(1, (3,)),
    mask_prompt(1, (4,)),
)


@pytest.fixture(scope="module")
def model() -> SAM2Model:
    return micro_model()


@pytest.fixture(params=["training", "evaluation"])
def either_mode(model, request) -> SAM2Model:
    return model.train(request.param == "training")


@torch.no_grad()
def track(
    model: SAM2Model, pixels: Tensor, object_clip: Tensor, prompts: Sequence[Prompt]
) -> dict[tuple[int, int], Tensor]:
    return by_object(model(pixels, object_clip, prompts))


def chosen(prompts: Sequence[Prompt], rows: Sequence[int]) -> list[Prompt]:
    """Return the prompts of some objects, which are renamed 0, 1, ... in the order given."""
    parts = []
    for prompt in prompts:
        index = [prompt.objects.index(row) for row in rows if row in prompt.objects]
        if index:
            parts.append(
                Prompt(
                    prompt.frame,
                    tuple(list(rows).index(prompt.objects[i]) for i in index),
                    *(None if x is None else x[index] for x in values_of(prompt)),
                )
            )
    return parts


def values_of(prompt: Prompt) -> tuple[Tensor | None, ...]:
    return prompt.masks, prompt.points, prompt.labels


def renamed(said: dict[tuple[int, int], Tensor], rows: Sequence[int]):
    """Return what was said of some objects, under the names that `chosen` gives them."""
    return {
        (list(rows).index(name), frame): value
        for (name, frame), value in said.items()
        if name in rows
    }


def test_every_object_is_tracked_from_its_prompt_to_the_end(either_mode):
    said = track(either_mode, noise(2, NUM_FRAMES), OBJECT_CLIP, PROMPTS)
    first = [0, 0, 0, 1, 1]
    assert sorted(said) == [
        (name, frame) for name in range(5) for frame in range(first[name], NUM_FRAMES)
    ]
    assert all(value.isfinite().all() for value in said.values())


def test_shuffling_objects_permutes_outputs(either_mode):
    pixels = noise(2, NUM_FRAMES)
    before = track(either_mode, pixels, OBJECT_CLIP, PROMPTS)
    rows = [3, 1, 4, 0, 2]
    after = track(either_mode, pixels, OBJECT_CLIP[rows], chosen(PROMPTS, rows)[::-1])
    assert_same(after, renamed(before, rows))


def test_shuffling_clips_permutes_outputs(either_mode):
    pixels = noise(2, NUM_FRAMES)
    before = track(either_mode, pixels, OBJECT_CLIP, PROMPTS)
    assert_same(track(either_mode, pixels.flip(0), 1 - OBJECT_CLIP, PROMPTS), before)


@pytest.mark.parametrize("rows", [[0, 1], [2, 3, 4]])
def test_adding_a_clip_with_other_objects_and_prompts_changes_nobody_elses_outputs(
    either_mode, rows
):
    pixels = noise(2, NUM_FRAMES)
    together = track(either_mode, pixels, OBJECT_CLIP, PROMPTS)
    clip = int(OBJECT_CLIP[rows[0]])
    alone = track(
        either_mode,
        pixels[clip, None],
        torch.zeros(len(rows), dtype=torch.long),
        chosen(PROMPTS, rows),
    )
    assert_same(alone, renamed(together, rows))


@pytest.mark.parametrize("row", range(5))
def test_an_object_alone_says_what_it_says_in_company(either_mode, row):
    pixels = noise(2, NUM_FRAMES)
    together = track(either_mode, pixels, OBJECT_CLIP, PROMPTS)
    alone = track(
        either_mode, pixels, torch.tensor([int(OBJECT_CLIP[row])]), chosen(PROMPTS, [row])
    )
    assert_same(alone, renamed(together, [row]))


def test_objects_of_one_clip_never_see_each_others_memory(either_mode):
    pixels, object_clip = noise(1, NUM_FRAMES), torch.zeros(2, dtype=torch.long)
    masks = squares(2)
    before = track(either_mode, pixels, object_clip, [Prompt(0, (0, 1), masks=masks)])
    changed = torch.stack([masks[0], masks[1].flip(0)])
    after = track(either_mode, pixels, object_clip, [Prompt(0, (0, 1), masks=changed)])
    assert_same(renamed(after, [0]), renamed(before, [0]))
    for frame in range(1, NUM_FRAMES):
        assert relative(after[1, frame], before[1, frame]) > 1e-4


def test_no_gradient_flows_from_one_object_to_another(model):
    model.train()
    pixels, object_clip = noise(1, NUM_FRAMES), torch.zeros(2, dtype=torch.long)
    masks = squares(2).requires_grad_()
    outputs = model(pixels, object_clip, [Prompt(0, (0, 1), masks=masks)])
    gradient = torch.autograd.grad(outputs[-1].mask_logits[0].sum(), masks)[0]
    assert gradient[0].abs().sum() > 0
    assert gradient[1].abs().sum() == 0


@pytest.mark.parametrize("prompt", [mask_prompt(2, (0,)), box_prompt(2, (0,))])
def test_a_late_object_equals_itself_in_the_clip_cut_to_start_there(either_mode, prompt):
    # of at least 16 frames, for in shorter ones the age of a pointer counts by the clip's length
    pixels, object_clip = noise(1, 18), torch.zeros(1, dtype=torch.long)
    late = track(either_mode, pixels, object_clip, [prompt])
    early = track(either_mode, pixels[:, 2:], object_clip, [replace(prompt, frame=0)])
    assert_same({(name, frame - 2): value for (name, frame), value in late.items()}, early)


def test_in_short_clips_the_age_of_pointers_counts_by_the_clips_length(model):
    model.eval()
    pixels, object_clip = noise(1, 6), torch.zeros(1, dtype=torch.long)
    late = track(model, pixels, object_clip, [mask_prompt(2, (0,))])
    padded = torch.cat([pixels[:, 2:], pixels[:, :2]], dim=1)
    early = track(model, padded, object_clip, [mask_prompt(0, (0,))])
    cut = track(model, pixels[:, 2:], object_clip, [mask_prompt(0, (0,))])
    for frame in range(2, 6):
        assert relative(late[0, frame], early[0, frame - 2]) < 1e-6
    assert relative(late[0, 5], cut[0, 3]) > 1e-6


def test_sam_2_is_tracked_too():
    model = old_micro_model()
    said = track(model, noise(2, NUM_FRAMES), OBJECT_CLIP, PROMPTS)
    assert all(value.isfinite().all() for value in said.values())


def test_an_object_whose_mask_vanished_is_tracked_like_one_without_a_prompt(either_mode):
    pixels, object_clip = noise(1, NUM_FRAMES), torch.zeros(2, dtype=torch.long)
    points = torch.tensor([[[0.0, 0.0]], [[20.0, 20.0]]])
    prompt = Prompt(0, (0, 1), points=points, labels=torch.tensor([[-1], [1]]))
    elsewhere = replace(prompt, points=points + torch.tensor([[[30.0, 9.0]], [[0.0, 0.0]]]))
    said = track(either_mode, pixels, object_clip, [prompt])
    assert len(said) == 2 * NUM_FRAMES
    assert_same(said, track(either_mode, pixels, object_clip, [elsewhere]))


def test_a_second_prompt_of_an_object_is_a_conditioning_frame_for_all_others(model):
    model.eval()
    pixels, object_clip = noise(1, NUM_FRAMES), torch.zeros(1, dtype=torch.long)
    first, second = mask_prompt(0, (0,)), replace(mask_prompt(1, (1,)), frame=2, objects=(0,))
    once = track(model, pixels, object_clip, [first])
    twice = track(model, pixels, object_clip, [first, second])
    assert sorted(twice) == sorted(once)
    assert relative(twice[0, 1], once[0, 1]) > 1e-4
    assert relative(twice[0, 3], once[0, 3]) > 1e-4


def test_cohorts_are_objects_prompted_on_the_same_frames():
    prompts = [*PROMPTS, box_prompt(2, (1,))]
    cohorts = form_cohorts(prompts)
    assert [(cohort.objects, cohort.frames) for cohort in cohorts] == [
        ((0, 2), (0,)),
        ((1,), (0, 2)),
        ((3, 4), (1,)),
    ]
    kinds = cohorts[0].prompts_on(0)
    assert [prompt.objects for prompt in kinds] == [(2,), (0,)]
    assert kinds[0].masks is not None
    assert torch.equal(kinds[0].masks[0], squares(3)[2])
    assert cohorts[0].prompts_on(2) == []
