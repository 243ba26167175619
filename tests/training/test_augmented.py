"""Augmentation in a run: what learns sees changed clips, what is scored does not."""

import math

import numpy as np
import pytest
import torch

from sam2_video.augmentation.geometry import Geometry
from sam2_video.config import AugmentationConfig, LossConfig, PromptConfig
from sam2_video.data.datamodule import ClipDataModule
from sam2_video.model.sam2 import SAM2Model
from sam2_video.structures import ClipBatch
from sam2_video.training import objective
from sam2_video.training.objective import draw_lesson, learn_from
from sam2_video.training.shown_clips import show_clips
from tests.augmentation.made import make_clip, prepare
from tests.training.conftest import measured

SIZE = (64, 64)


@pytest.fixture(scope="module")
def loaded(configure, tmp_path_factory) -> tuple[ClipBatch, ClipDataModule]:
    config = configure(tmp_path_factory.mktemp("none") / "run", dataset__batch_size=2)
    datamodule = ClipDataModule(config.dataset, config.seed)
    datamodule.setup()
    return next(iter(datamodule.train_dataloader())), datamodule


def test_a_run_augments_its_clips_and_never_its_validation(run, tmp_path, monkeypatch):
    calls = []

    def spy(clips, batch, settings):
        calls.append(settings)
        return original(clips, batch, settings)

    original = objective.augment_clips
    monkeypatch.setattr(objective, "augment_clips", spy)
    changed = run(tmp_path / "changed", augmentation__preset="strong", trainer__max_steps=1)
    assert [settings.preset for settings in calls] == ["strong"]
    plain = run(tmp_path / "plain", trainer__max_steps=1)
    first, second = (measured(result.output_dir) for result in (changed, plain))
    assert first[0]["train/loss"] != second[0]["train/loss"]
    assert all(math.isfinite(row["train/loss"]) for row in first if "train/loss" in row)
    before = [
        [row["val/JF"] for row in rows if row["step"] == 0 and "val/JF" in row]
        for rows in (first, second)
    ]
    assert before[0] == before[1] != []


def test_prompts_are_drawn_from_what_is_seen_after_the_augmentation(loaded):
    batch, _ = loaded
    settings = PromptConfig(mask=1.0, box=0.0, point=0.0, conditioning_frames=1)
    lesson = draw_lesson(batch, SIZE, settings, AugmentationConfig(preset="strong"))
    shown = 0
    for prompt in lesson.prompts:
        truth = lesson.clips.targets[list(prompt.objects), prompt.frame] == 1
        assert torch.equal(prompt.masks, truth.float())
        shown += len(prompt.objects)
    assert shown == len(lesson.clips.prompt_frames)


def test_pictures_show_augmented_clips(loaded):
    batch, datamodule = loaded
    videos = {video.video_id: video for video in datamodule.train_videos}
    settings, strong = PromptConfig(), AugmentationConfig(preset="strong")
    lesson = draw_lesson(batch, SIZE, settings, strong)
    for given, is_same in ((strong, True), (None, False)):
        shown = show_clips(batch, SIZE, settings, given, videos)
        targets = torch.cat([clip.targets for clip in shown])
        assert torch.equal(targets, lesson.clips.targets) is is_same


@pytest.mark.parametrize("kind", ["mask", "box", "point"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_an_object_that_left_for_good_changes_nothing_for_the_others(kind, reduction, monkeypatch):
    half = Geometry(False, False, np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]))
    monkeypatch.setattr("sam2_video.augmentation.clips.draw_geometry", lambda *_: half)
    settings = PromptConfig(**{name: float(name == kind) for name in ("mask", "box", "point")})
    losses = LossConfig(reduction=reduction)
    model = SAM2Model.load(None, "micro", SIZE)
    model.set_trainable(["memory_attention"])
    found = []
    # the second object starts at column 10 of 96, far from what is left in view
    for centres in (((30, 70),), ((30, 70), (30, 10))):
        _, batch = prepare(make_clip(centres=centres))
        lesson = draw_lesson(batch, SIZE, settings, AugmentationConfig(preset="off", degrees=1.0))
        model.zero_grad()
        loss = learn_from(model.train(), lesson, losses).loss.total
        loss.backward()
        found.append(loss * len(centres) if reduction == "sum" else loss)
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    assert found[0] > 0
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-6)
