"""Memory that runs out: what is then computed at once, that the numbers stay, and what is said."""

import pytest
import torch

from sam2_video.cli import main
from sam2_video.config import TrainerConfig
from sam2_video.configuration import load_config
from sam2_video.training import objective
from sam2_video.training.out_of_memory import OutOfMemoryError, is_out_of_memory, next_smaller
from tests.training.conftest import measured, network_of
from tests.training.test_run import arguments

BATCH = {
    "dataset__batch_size": 4,
    "dataset__clips_per_video": 2,
    "dataset__video_clip_length": 2,
    "dataset__max_objects": 1,
    "prompts__conditioning_frames": 1,
    "prompts__corrected_frames": 0,
    "augmentation__preset": "off",
}
"""Two batches an epoch, of four clips with one object each."""
UNSEEN = {"dataset__val_fraction": 0.0, "dataset__clips_per_video": 1}
"""A batch of four clips and one of one, and no validation, for what does not depend on it."""


class SmallMemory:
    """Holds so many objects at a time: more of them, and memory is out."""

    def __init__(self, monkeypatch, most, error=torch.OutOfMemoryError, steps=0):
        self.tracked = []
        original = objective._track

        def track(device_of, model, features, lesson, group, part, *args):
            num_objects = part.end - part.first
            self.tracked.append(num_objects)
            if num_objects > most and len(self.tracked) > steps:
                raise error("CUDA out of memory. Tried to allocate 20.00 MiB\nof 8 GiB")
            return original(device_of, model, features, lesson, group, part, *args)

        monkeypatch.setattr(objective, "_track", track)


def weights(output_dir):
    return network_of(output_dir / "checkpoints/last.ckpt")


def assert_same_run(output_dir, expected_dir):
    assert measured(output_dir) == measured(expected_dir)
    expected = weights(expected_dir)
    for name, value in weights(output_dir).items():
        assert torch.equal(value, expected[name]), name


def test_the_run_goes_on_as_if_configured_with_fewer_clips_at_once(
    run, tmp_path, monkeypatch, said
):
    once = {**BATCH, "trainer__max_epochs": 1}
    expected = run(tmp_path / "expected", trainer__clips_at_once=2, **once)
    with monkeypatch.context() as patch:
        # the second batch is too large: a step has been taken that must not count
        memory = SmallMemory(patch, most=2, steps=1)
        result = run(tmp_path / "run", **once)
    assert memory.tracked == [4, 4, 2, 2, 2, 2, 2, 2, 2, 2]
    assert_same_run(tmp_path / "run", tmp_path / "expected")
    assert (result.before, result.best, result.last) == (
        expected.before,
        expected.best,
        expected.last,
    )
    assert load_config(tmp_path / "run/config.yaml").trainer.clips_at_once == 2
    (line,) = [line for line in said if "out of memory" in line]
    assert "dataset.batch_size 4 is now computed as 2 x 2 clips" in line
    # the first validation is not repeated
    assert [row["step"] for row in measured(tmp_path / "run")] == [0, 1, 2]


def test_the_loss_is_that_of_the_undivided_batch(run, tmp_path, monkeypatch):
    once = {**BATCH, **UNSEEN, "trainer__max_steps": 1, "dataset__max_objects": 3}
    run(tmp_path / "whole", **once)
    SmallMemory(monkeypatch, most=1)
    run(tmp_path / "run", **once)
    config = load_config(tmp_path / "run/config.yaml")
    assert (config.trainer.clips_at_once, config.trainer.objects_at_once) == (1, 1)
    assert measured(tmp_path / "run")[0] == pytest.approx(
        measured(tmp_path / "whole")[0], rel=1e-5, abs=1e-6
    )


def test_a_resumed_run_starts_again_from_its_checkpoint(run, tmp_path, monkeypatch):
    more = {**BATCH, **UNSEEN, "trainer__lr_scheduler": "constant"}
    for name in ("run", "expected"):
        run(tmp_path / name, trainer__max_epochs=1, **more)
    more |= {"trainer__max_epochs": 2}
    expected = {"resume": str(tmp_path / "expected"), "trainer__clips_at_once": 2}
    run(tmp_path / "expected", **expected, **more)
    SmallMemory(monkeypatch, most=2)
    run(tmp_path / "run", resume=str(tmp_path / "run"), **more)
    assert_same_run(tmp_path / "run", tmp_path / "expected")


def test_one_object_too_many_ends_with_what_can_be_set(data, tmp_path, capsys, monkeypatch):
    SmallMemory(monkeypatch, most=0)
    assert main(arguments(data, tmp_path / "run")) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: out of memory with one object of one clip at a time (CUDA out")
    for name in ("dataset.image_size", "video_clip_length", "trainer.activation_checkpointing"):
        assert name in error


def test_after_the_first_epoch_the_run_stops_and_says_how_to_go_on(run, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        SmallMemory(patch, most=3, steps=1)
        with pytest.raises(OutOfMemoryError, match="in epoch 2") as raised:
            run(tmp_path / "run", **BATCH | UNSEEN)
    assert f"--resume {tmp_path / 'run'} --trainer.clips-at-once 2" in str(raised.value)
    resumed = {"resume": str(tmp_path / "run"), "trainer__clips_at_once": 2}
    assert run(tmp_path / "run", **BATCH | UNSEEN | resumed).is_finished
    assert [row["step"] for row in measured(tmp_path / "run")] == [0, 1, 2, 3]


def test_it_can_be_switched_off(run, tmp_path, monkeypatch):
    SmallMemory(monkeypatch, most=3)
    with pytest.raises(OutOfMemoryError, match=r"--trainer.clips-at-once 2.*adapt_batch_size"):
        run(tmp_path / "run", trainer__adapt_batch_size=False, **BATCH | UNSEEN)


def test_validation_that_does_not_fit_is_told_apart(run, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("sam2_video.training.trainer.evaluate_video", fail)
    with pytest.raises(OutOfMemoryError, match="outside of the training steps"):
        run(tmp_path / "run", **BATCH)


def test_other_errors_pass(run, tmp_path, monkeypatch):
    SmallMemory(monkeypatch, most=0, error=lambda text: RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes"):
        run(tmp_path / "run", **BATCH | UNSEEN)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_allocators_are_understood(error, expected):
    assert is_out_of_memory(error) is expected


def test_a_real_allocator_is_understood():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(raised.value)


def test_clips_are_halved_before_objects_until_there_is_one():
    settings, tried = TrainerConfig(), []
    while (smaller := next_smaller(settings, 6, 5)) is not None:
        settings = smaller
        tried.append((settings.clips_at_once, settings.objects_at_once))
    assert tried == [(3, None), (2, None), (1, None), (1, 3), (1, 2), (1, 1)]


def test_objects_that_are_few_already_are_not_waited_for_by_clips():
    smaller = next_smaller(TrainerConfig(objects_at_once=2), 8, 3)
    assert smaller is not None
    assert (smaller.clips_at_once, smaller.objects_at_once) == (1, 1)
