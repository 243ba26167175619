"""Objects are corrected by clicks before they are tracked: numbers, settings, prompts."""

import json

import pytest
import torch

from sam2_video.evaluation import evaluate_video, first_appearance_prompts
from sam2_video.structures import OBJECT, PromptKind
from tests.evaluation.conftest import numbers
from tests.made_up import EARLY


@pytest.fixture(scope="module")
def clicked(evaluated, tmp_path_factory):
    out = tmp_path_factory.mktemp("clicked") / "out"
    return evaluated(prompt="box", clicks=2, out=out, videos=["video_000"])


def test_clicks_change_the_numbers_and_stand_in_the_settings(clicked, evaluated):
    plain = evaluated(prompt="box", videos=["video_000"])
    assert numbers(plain.report) != numbers(clicked.report)
    content = json.loads((clicked.out / "scores.json").read_text())
    assert content["settings"]["clicks"] == clicked.settings.clicks == 2
    assert plain.settings.clicks == 0


def test_an_evaluation_with_other_clicks_is_not_gone_on_with(clicked, evaluated):
    with pytest.raises(ValueError, match="clicks: 2 there, 1 now"):
        evaluated(prompt="box", clicks=1, out=clicked.out, videos=["video_000"])


@pytest.mark.parametrize("kind", [PromptKind.BOX, PromptKind.POINT])
def test_prompts_bring_the_truth_by_which_they_are_corrected(video, kind):
    prompts = first_appearance_prompts(video, kind, clicks=3)
    assert len(prompts) == len(video.truth)
    for prompt in prompts:
        assert prompt.num_clicks == 3
        assert torch.equal(prompt.truth, video.truth[prompt.object_id][prompt.frame])
    assert all(prompt.truth is None for prompt in first_appearance_prompts(video, kind))


def test_clicks_are_about_the_frame_of_the_prompt(model, video):
    first = first_appearance_prompts(video, PromptKind.BOX)
    frames = {prompt.object_id: prompt.frame for prompt in first}
    settings = {"kind": PromptKind.BOX, "keep_frames": list(frames.values())}
    plain = evaluate_video(model, video, **settings).masks
    clicked = evaluate_video(model, video, **settings, clicks=5).masks
    row, frame = video.object_ids.index(EARLY), frames[EARLY]
    truth = video.truth[EARLY][frame] == OBJECT
    before, after = ((masks[frame][row] != truth).sum() for masks in (plain, clicked))
    assert before != after


def test_a_given_mask_is_not_corrected(model, video):
    with pytest.raises(ValueError, match="got 1 clicks and a mask"):
        evaluate_video(model, video, clicks=1)
