"""A run that was stopped or killed goes on as if nothing had happened."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sam2_video.cli import main
from sam2_video.configuration import load_config, save
from sam2_video.files import read_numbers, write_rows
from sam2_video.model.keymap import to_meta
from sam2_video.training.resume import read_resume
from sam2_video.training.run import train
from tests.training.conftest import at_call, measured, send

# everything random has a part: prompts of all kinds, dropout, order, strides, reversal
LIVELY = {
    "model__memory_attention_dropout": 0.1,
    "model__trainable_modules": ["memory", "mask_decoder"],
    "dataset__clips_per_video": 2,
    "dataset__frame_stride": [1, 2],
    "prompts__mask": 0.4,
    "prompts__box": 0.3,
    "prompts__point": 0.3,
    "trainer__accumulate": 2,
    "trainer__early_stopping": 5,
}
BATCHES_AN_EPOCH, STEPS_AN_EPOCH = 8, 4


class KilledError(BaseException):
    """What no part of a run catches."""


def final_state(output_dir):
    content = torch.load(output_dir / "checkpoints/last.ckpt", weights_only=True)
    return content["state_dict"], content["optimizer_states"][0]["state"]


def assert_same_end(output_dir, other):
    assert measured(output_dir) == measured(other)
    weights, moments = final_state(output_dir)
    other_weights, other_moments = final_state(other)
    for name, value in weights.items():
        assert torch.equal(value, other_weights[name]), name
    for index, entry in moments.items():
        assert torch.equal(entry["exp_avg"], other_moments[index]["exp_avg"])
    best = [torch.load(d / "checkpoints/best_model.pth")["model"] for d in (output_dir, other)]
    assert all(torch.equal(value, best[1][name]) for name, value in best[0].items())


@pytest.fixture(scope="module")
def unbroken(run, tmp_path_factory):
    output_dir = tmp_path_factory.mktemp("unbroken") / "run"
    run(output_dir, **LIVELY)
    return output_dir


def test_the_same_seed_gives_the_same_run(run, unbroken, tmp_path):
    run(tmp_path / "run", **LIVELY)
    assert_same_end(tmp_path / "run", unbroken)


def test_the_unbroken_run_has_what_these_tests_are_about(unbroken):
    rows = measured(unbroken)
    assert [row["step"] for row in rows] == list(range(2 * STEPS_AN_EPOCH + 1))
    assert ["val/JF" in row for row in rows] == [step % STEPS_AN_EPOCH == 0 for step in range(9)]


@pytest.mark.parametrize(
    ("number", "batch"),
    [
        (signal.SIGTERM, 3),  # the second of an accumulation
        (signal.SIGINT, BATCHES_AN_EPOCH + 4),  # the first of one, in the second epoch
        (signal.SIGTERM, 2 * BATCHES_AN_EPOCH - 1),  # the last of all
    ],
)
def test_a_run_stopped_by_a_signal_goes_on_exactly(
    number, batch, run, unbroken, tmp_path, monkeypatch
):
    output_dir = tmp_path / "run"
    with monkeypatch.context() as patch:
        at_call(patch, "training_step", batch, send(number))
        stopped = run(output_dir, **LIVELY)
    assert not stopped.is_finished
    assert stopped.stopped_by == number
    assert read_resume(str(output_dir)).step == batch // 2 + 1
    resumed = run(output_dir, resume=str(output_dir), **LIVELY)
    assert resumed.is_finished
    assert_same_end(output_dir, unbroken)


def test_a_run_stopped_in_validation_validates_first_when_it_goes_on(
    run, unbroken, tmp_path, monkeypatch
):
    output_dir = tmp_path / "run"
    with monkeypatch.context() as patch:
        # the second validation: the first comes before training
        at_call(patch, "on_validation_epoch_start", 1, send(signal.SIGTERM))
        assert not run(output_dir, **LIVELY).is_finished
    assert "val/JF" not in measured(output_dir)[-1]
    assert run(output_dir, resume=str(output_dir), **LIVELY).is_finished
    assert_same_end(output_dir, unbroken)


def test_a_run_that_breaks_off_goes_on_from_its_last_epoch(run, unbroken, tmp_path, monkeypatch):
    def die():
        raise KilledError

    output_dir = tmp_path / "run"
    with monkeypatch.context() as patch:
        at_call(patch, "training_step", BATCHES_AN_EPOCH + 4, die)
        with pytest.raises(KilledError):
            run(output_dir, **LIVELY)
    # rows of steps that are not in the checkpoint: they must not come twice
    assert measured(output_dir)[-1]["step"] == STEPS_AN_EPOCH + 1
    run(output_dir, resume=str(output_dir), **LIVELY)
    assert_same_end(output_dir, unbroken)


KILLED = """
import os, signal, sys
from pathlib import Path
from sam2_video.configuration import load_config
from sam2_video.training.run import train
from sam2_video.training.trainer import MemoryTuner

step = MemoryTuner.training_step
def deadly(self, batch, batch_idx):
    if self.trainer.current_epoch == 1 and batch_idx == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch, batch_idx)
MemoryTuner.training_step = deadly
train(load_config(Path(sys.argv[1])))
"""


def test_a_killed_process_leaves_a_run_that_goes_on(configure, unbroken, tmp_path):
    config = configure(tmp_path / "run", **LIVELY)
    save(config, tmp_path / "config.yaml")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "config.yaml")],
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    # by the command line, which reads the run's own settings
    assert main(["train", "--resume", str(tmp_path / "run")]) == 0
    assert_same_end(tmp_path / "run", unbroken)


def test_a_stop_before_training_leaves_a_folder_that_can_be_used_again(run, tmp_path, monkeypatch):
    output_dir = tmp_path / "run"
    with monkeypatch.context() as patch:
        at_call(patch, "on_validation_epoch_start", 0, send(signal.SIGTERM))
        assert not run(output_dir, **LIVELY).is_finished
    assert "nothing to resume" in (output_dir / "train.log").read_text()
    assert run(output_dir, trainer__max_epochs=1).is_finished


def test_the_signals_belong_to_the_caller_again_after_a_run(run, tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    run(tmp_path / "run", trainer__max_epochs=1)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_second_signal_stops_at_once(run, tmp_path, monkeypatch):
    def twice():
        send(signal.SIGTERM)()
        send(signal.SIGTERM)()

    at_call(monkeypatch, "training_step", BATCHES_AN_EPOCH + 3, twice)
    with pytest.raises(SystemExit) as ended:
        run(tmp_path / "run", **LIVELY)
    assert ended.value.code == 128 + signal.SIGTERM
    assert read_resume(str(tmp_path / "run")).step == STEPS_AN_EPOCH


@pytest.fixture
def finished(unbroken, tmp_path):
    return shutil.copytree(unbroken, tmp_path / "finished")


def test_a_finished_run_goes_on_for_more_epochs(run, unbroken, finished):
    result = run(finished, resume=str(finished), **LIVELY, trainer__max_epochs=3)
    rows = measured(finished)
    assert [row["step"] for row in rows] == list(range(3 * STEPS_AN_EPOCH + 1))
    assert rows[: 2 * STEPS_AN_EPOCH] == measured(unbroken)[:-1]
    assert load_config(finished / "config.yaml").trainer.max_epochs == 3
    assert result.before == rows[0]["val/JF"]


def test_a_finished_run_is_not_resumed_in_silence(run, finished):
    with pytest.raises(ValueError, match=r"done after 2 epochs and 8 steps.*--max-epochs"):
        run(finished, resume=str(finished), **LIVELY)


def test_a_run_killed_after_its_last_epoch_gets_its_summary(run, finished):
    (finished / "training_metrics.json").unlink()
    assert run(finished, resume=str(finished), **LIVELY).is_finished
    assert (finished / "training_metrics.json").is_file()


def test_a_resumed_run_follows_a_changed_rate(run, finished):
    changed = {"trainer__lr": 5e-4, "trainer__lr_scheduler": "constant", "trainer__max_epochs": 3}
    run(finished, resume=str(finished), **(LIVELY | changed))
    assert [row["lr-AdamW"] for row in measured(finished)[8:12]] == [5e-4] * 4


def test_an_older_checkpoint_goes_on_with_its_own_best(run, unbroken, finished):
    checkpoint = finished / "checkpoints/epoch_000.ckpt"
    run(finished, resume=str(checkpoint), **LIVELY)
    assert measured(finished) == measured(unbroken)


def test_a_best_model_from_after_the_checkpoint_is_not_taken_for_its_own(run, finished):
    rows = read_numbers(finished / "metrics.csv")
    rows[-1]["val/JF"] = 0.99
    write_rows(finished / "metrics.csv", rows, sorted(rows[0] | rows[-1]))
    result = run(finished, resume=str(finished / "checkpoints/epoch_000.ckpt"), **LIVELY)
    # the only validation since: the earlier best has been overwritten by the one of 0.99
    assert result.best == result.last == measured(finished)[-1]["val/JF"]
    best = torch.load(result.best_model)["model"]
    weights, _ = final_state(finished)
    for name, value in best.items():
        assert torch.equal(value, to_meta_weights(weights)[name])


def to_meta_weights(weights):
    prefix = "model.network."
    return to_meta({n.removeprefix(prefix): v for n, v in weights.items() if n.startswith(prefix)})


def test_other_trainable_modules_are_refused(run, finished):
    changed = LIVELY | {"model__trainable_modules": ["memory"], "trainer__max_epochs": 3}
    with pytest.raises(ValueError, match=r"model\.trainable_modules.*--model-checkpoint"):
        run(finished, resume=str(finished), **changed)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"not a checkpoint", "not a checkpoint that torch"), (None, "weights and no training state")],
)
def test_files_that_are_no_state_are_refused(content, message, configure, tmp_path):
    path = tmp_path / "file.ckpt"
    if content is None:
        torch.save({"model": {}}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        train(configure(tmp_path / "run", resume=str(path)))


def test_the_command_line_says_that_there_is_no_run_to_resume(tmp_path, capsys):
    assert main(["train", "--resume", str(tmp_path)]) == 2
    assert "no checkpoint at" in capsys.readouterr().err


def test_a_folder_without_a_checkpoint_cannot_be_resumed(configure, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*last\.ckpt"):
        train(configure(tmp_path / "run", resume=str(Path(tmp_path))))


def test_an_epoch_that_a_limit_cuts_short_goes_on_within(run, tmp_path):
    output_dir = tmp_path / "run"
    run(output_dir, **LIVELY, trainer__lr_scheduler="constant", trainer__max_steps=2)
    assert read_resume(str(output_dir)).num_epochs == 0
    run(output_dir, resume=str(output_dir), **LIVELY, trainer__lr_scheduler="constant")
    rows = measured(output_dir)
    # the other half of the first epoch, then the second
    assert [row["epoch"] for row in rows[:-1]] == [0] * STEPS_AN_EPOCH + [1] * STEPS_AN_EPOCH
    assert [row["step"] for row in rows] == list(range(2 * STEPS_AN_EPOCH + 1))
