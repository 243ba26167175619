"""`dataset.batch_size: auto`: the largest that fits, and a run that is as if it had been given."""

import math

import pytest
import torch
from lightning.pytorch import Trainer

from sam2_video.config import DatasetConfig
from sam2_video.configuration import load_config
from sam2_video.data.datamodule import ClipDataModule
from sam2_video.model.sam2 import SAM2Model
from sam2_video.training import batch_size
from sam2_video.training.batch_size import (
    SameBatchSize,
    choose_batch_size,
    largest_that_fits,
)
from sam2_video.training.largest import heaviest_seed, make_largest_clip, repeat_clip
from sam2_video.training.need import predict_need
from sam2_video.training.objective import draw_lesson
from sam2_video.training.prepare import make_tuner
from sam2_video.training.trainer import MemoryTuner
from tests.training.conftest import measured, network_of

SMALL = {
    "dataset__video_clip_length": 2,
    "dataset__max_objects": 2,
    "dataset__val_fraction": 0.0,
    "trainer__max_epochs": 1,
}


@pytest.mark.parametrize("most", [1, 5, 8, 100])
@pytest.mark.parametrize("memory", [0, 1, 3, 5, 6, 7, 64])
def test_the_largest_number_that_fits_is_found_in_few_attempts(memory, most, monkeypatch):
    monkeypatch.setattr(batch_size, "free_memory", lambda: None)
    tried = []

    def attempt(number):
        tried.append(number)
        if number > memory:
            raise torch.OutOfMemoryError("CUDA out of memory")

    assert largest_that_fits(attempt, most) == min(memory, most)
    assert max(tried) <= min(most, max(2 * memory, 1))
    assert len(tried) == len(set(tried)) <= 2 * math.log2(most) + 2


@pytest.mark.parametrize("first", [0, 1, 4, 5, 6, 7, 12, 64, 1000])
@pytest.mark.parametrize("memory", [0, 1, 5, 6, 40, 64, 100])
def test_a_wrong_beginning_costs_attempts_and_nothing_else(memory, first, monkeypatch):
    monkeypatch.setattr(batch_size, "free_memory", lambda: None)
    tried = []

    def attempt(number):
        tried.append(number)
        if number > memory:
            raise torch.OutOfMemoryError("CUDA out of memory")

    assert largest_that_fits(attempt, 64, first) == min(memory, 64)
    assert tried[0] == min(max(first, 1), 64)
    assert len(tried) == len(set(tried)) <= 14
    if first == memory:
        # a right beginning is confirmed by the next number
        assert len(tried) <= 2


def test_the_first_attempt_is_what_the_need_of_one_clip_says(
    configure, tmp_path, memory_for_three_clips, monkeypatch
):
    config = configure(tmp_path / "run", dataset__batch_size="auto", **SMALL)
    model = SAM2Model.load(None, "micro", (64, 64))
    model.set_trainable(["memory"])
    datamodule = ClipDataModule(config.dataset, config.seed)
    datamodule.setup()
    need = predict_need(config, model.architecture, 1, 2, "32-true")
    room = need.fixed + 7 * (need.total - need.fixed) // 2
    monkeypatch.setattr(batch_size, "_room", lambda device: room)
    config = choose_batch_size(config, model, datamodule, "gpu", "32-true", 1)
    assert config.dataset.batch_size == 3
    assert [number for number, _, _ in memory_for_three_clips] == [3, 3, 4]


def test_an_error_that_is_not_of_memory_is_no_answer():
    def attempt(number):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        largest_that_fits(attempt, 4)


@pytest.fixture
def memory_for_three_clips(monkeypatch):
    """Let the CPU be tried out as if it were a GPU that holds three clips; return what it saw."""
    original, seen = MemoryTuner.compute_loss, []

    def compute_loss(self, batch):
        seen.append((batch.num_clips, batch.labelled.shape, batch.sources[0].video_id))
        if batch.num_clips > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(self, batch)

    monkeypatch.setattr(MemoryTuner, "compute_loss", compute_loss)
    monkeypatch.setattr(batch_size, "find_device", lambda accelerator: torch.device("cpu"))
    return seen


def test_a_run_is_as_if_the_number_had_been_given(run, tmp_path, memory_for_three_clips, said):
    run(tmp_path / "given", dataset__batch_size=3, **SMALL)
    memory_for_three_clips.clear()
    run(tmp_path / "auto", dataset__batch_size="auto", **SMALL)
    # doubled, then halved the distance, two steps of the largest clips each
    tries = [number for number, _, video in memory_for_three_clips if video == "made up"]
    assert tries == [1, 1, 2, 2, 4, 3, 3]
    assert all(shape == (2 * n, 2) for n, shape, video in memory_for_three_clips if video[0] == "m")
    assert load_config(tmp_path / "auto/config.yaml").dataset.batch_size == 3
    assert any("auto: 3 clips of 2 frames and 2 objects fit, of 5" in line for line in said)
    assert measured(tmp_path / "auto") == measured(tmp_path / "given")
    weights = [network_of(tmp_path / name / "checkpoints/last.ckpt") for name in ("auto", "given")]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_trying_leaves_the_model_and_the_random_state_alone(
    configure, tmp_path, memory_for_three_clips
):
    config = configure(tmp_path / "run", dataset__batch_size="auto", **SMALL)
    model = SAM2Model.load(None, "micro", (64, 64))
    model.set_trainable(["memory"])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    datamodule = ClipDataModule(config.dataset, config.seed)
    datamodule.setup()
    state = torch.random.get_rng_state()
    config = choose_batch_size(config, model, datamodule, "gpu", "bf16-mixed", 1)
    assert config.dataset.batch_size == datamodule.config.batch_size == 3
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_without_a_gpu_auto_is_one_and_said(run, tmp_path, said):
    run(tmp_path / "run", dataset__batch_size="auto", **SMALL, trainer__max_steps=1)
    assert load_config(tmp_path / "run/config.yaml").dataset.batch_size == 1
    assert sum("auto needs a CUDA GPU" in line for line in said) == 1


def test_what_is_tried_is_a_clip_that_is_corrected_as_often_as_can_be(configure, tmp_path):
    corrected = {"prompts__corrected_frames": 2, "prompts__correction_clicks": 3}
    config = configure(tmp_path / "run", **corrected)
    model = SAM2Model.load(None, "micro", (64, 64))
    model.set_trainable(["memory"])
    tuner = make_tuner(config, model)
    seed = heaviest_seed(config.dataset.video_clip_length, config.prompts)
    batch = repeat_clip(make_largest_clip(3, 4, (48, 64)), 2, seed)
    assert (batch.num_clips, batch.labelled.shape) == (2, (8, 3))
    lesson = draw_lesson(batch, (64, 64), tuner.prompts)
    clicks = [part.places.shape for part in lesson.corrections]
    assert clicks == [(8, 3), (8, 3)]


def test_processes_take_the_smallest_that_any_has_found(monkeypatch, configure, tmp_path):
    config = configure(tmp_path, dataset__batch_size=5)
    datamodule = ClipDataModule(config.dataset, config.seed)
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    model = SAM2Model.load(None, "micro", (64, 64))
    model.set_trainable(["memory"])
    tuner = make_tuner(config, model)
    callback = SameBatchSize(config, datamodule)
    callback.setup(trainer, tuner, "fit")
    assert datamodule.config.batch_size == 5
    monkeypatch.setattr(batch_size, "has_several_processes", lambda: True)
    monkeypatch.setattr(batch_size.dist, "all_reduce", lambda values, operation: values.fill_(3))
    callback.setup(trainer, tuner, "fit")
    assert datamodule.config.batch_size == 3
    assert load_config(tmp_path / "config.yaml").dataset.batch_size == 3


def test_auto_is_a_value_of_the_key():
    assert load_config(None, {"dataset.batch_size": "auto"}).dataset.batch_size == "auto"
    assert DatasetConfig().batch_size == 1
