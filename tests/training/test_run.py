"""A whole run: the same numbers each time, and the folder that it leaves."""

import json
import math
import warnings

import pytest
import torch

from sam2_video.cli import main
from sam2_video.configuration import load_config
from sam2_video.files import write_json
from sam2_video.training.trainer import MemoryTuner
from tests.training.conftest import assert_loads_as, measured, network_of


@pytest.fixture(scope="module")
def trained(run, tmp_path_factory):
    """Return the result of an ordinary run; a shorter one starts with the same steps."""
    return run(tmp_path_factory.mktemp("trained") / "run", trainer__lr_scheduler="constant")


SHORT = {"trainer__max_steps": 2, "trainer__lr_scheduler": "constant"}


def test_debug_changes_no_number(trained, run, tmp_path):
    with warnings.catch_warnings():
        # anomaly detection says that it is slow
        warnings.simplefilter("ignore")
        again = run(tmp_path / "again", debug=True, dataset__num_workers=1, **SHORT)
    assert measured(again.output_dir)[:2] == measured(trained.output_dir)[:2]


def test_another_seed_gives_other_numbers(trained, run, tmp_path):
    other = run(tmp_path / "other", seed=1, **SHORT)
    assert measured(other.output_dir)[0] != measured(trained.output_dir)[0]


def test_a_loading_process_changes_no_number(trained, run, tmp_path):
    other = run(tmp_path / "other", dataset__num_workers=1, **SHORT)
    assert measured(other.output_dir)[:2] == measured(trained.output_dir)[:2]


def test_a_run_leaves_what_it_promises(trained, data):
    output_dir = trained.output_dir
    found = {str(p.relative_to(output_dir)) for p in output_dir.rglob("*") if p.is_file()}
    tensorboard = {name for name in found if name.startswith("tensorboard/events")}
    validated = load_config(output_dir / "config.yaml").dataset
    assert validated.data_path == str(data / "videos")
    assert tensorboard
    assert found - tensorboard == {
        "config.yaml",
        "checkpoints/best_model.pth",
        "checkpoints/best_model.yaml",
        "checkpoints/epoch_000.ckpt",
        "checkpoints/epoch_001.ckpt",
        "checkpoints/last.ckpt",
        "checkpoints/previous.ckpt",
        "metrics.csv",
        "report.html",
        "scores_best.json",
        "scores_last.json",
        "scores_zero_shot.json",
        "tensorboard/hparams.yaml",
        "train.log",
        "training_metrics.json",
    }


def test_the_configuration_of_a_run_is_read_back_unchanged(trained, configure):
    config = load_config(trained.output_dir / "config.yaml")
    assert config == configure(trained.output_dir, trainer__lr_scheduler="constant")


def test_without_validation_the_last_weights_are_the_best(run, tmp_path, said):
    result = run(tmp_path / "run", dataset__val_fraction=0.0, trainer__max_epochs=1)
    assert (result.before, result.best, result.last) == (None, None, None)
    assert_loads_as(result.best_model, network_of(result.output_dir / "checkpoints/last.ckpt"))
    assert any("no validation" in line for line in said)
    json.loads((result.output_dir / "training_metrics.json").read_text())


def test_the_summary_counts_what_was_done(trained):
    summary = json.loads((trained.output_dir / "training_metrics.json").read_text())
    assert summary["is_finished"] is True
    assert (summary["steps"], summary["epochs"], summary["seed"]) == (8, 2, 42)
    assert summary["final"]["step"] == 8
    assert summary["parameters"] > summary["trainable_parameters"] > 0
    positive = "seconds", "training_seconds", "clips_per_second", "peak_memory_gb"
    assert all(summary[name] > 0 for name in positive)
    assert summary["precision"] == "32-true"
    assert summary["machine"]["torch"] == torch.__version__


def test_numbers_that_are_none_stay_valid_json(tmp_path):
    write_json(tmp_path / "x.json", {"a": {"b": math.nan}, "c": math.inf, "d": 1.5, "e": None})
    assert json.loads((tmp_path / "x.json").read_text()) == {
        "a": {"b": None},
        "c": None,
        "d": 1.5,
        "e": None,
    }


def test_a_folder_that_holds_a_run_is_refused_with_both_ways_out(trained, run):
    with pytest.raises(ValueError, match=r"already holds a run.*--resume.*another --output-dir"):
        run(trained.output_dir)


def test_a_failed_start_leaves_no_folder_behind(configure, run, tmp_path, monkeypatch):
    broken = {"dataset__masks_path": str(tmp_path)}
    with pytest.raises((ValueError, FileNotFoundError)):
        run(tmp_path / "run", **broken)
    with pytest.raises(ValueError, match="matches no parameter"):
        run(tmp_path / "run", model__trainable_modules=["nothing"])
    assert not (tmp_path / "run").exists()


def test_a_start_that_left_no_state_is_replaced(trained, run, tmp_path, monkeypatch):
    def fail(*_):
        raise KeyError("broken off")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryTuner, "training_step", fail)
        with pytest.raises(KeyError):
            run(tmp_path / "run", trainer__max_epochs=1)
    assert run(tmp_path / "run", trainer__max_epochs=1).is_finished
    logs = [
        list((d / "tensorboard").glob("events*")) for d in (tmp_path / "run", trained.output_dir)
    ]
    assert len(logs[0]) == len(logs[1])
    assert measured(tmp_path / "run")[0]["step"] == 0


def test_few_checkpoints_are_kept_and_the_last_state_always(run, tmp_path):
    result = run(
        tmp_path / "run",
        trainer__max_epochs=5,
        trainer__save_every=2,
        trainer__keep_checkpoints=1,
        trainer__validate_every=2,
        dataset__clips_per_video=1,
    )
    folder = result.output_dir / "checkpoints"
    assert sorted(p.name for p in folder.iterdir()) == [
        "best_model.pth",
        "best_model.yaml",
        "epoch_003.ckpt",
        "last.ckpt",
        "previous.ckpt",
    ]
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == 20
    # validated every second epoch, and once more at the end
    steps = [row["step"] for row in measured(result.output_dir) if "val/JF" in row]
    assert steps == [0, 8, 16, 20]


def test_a_limit_of_steps_ends_the_run_as_if_done(run, tmp_path, said):
    result = run(tmp_path / "run", trainer__max_steps=2, trainer__max_epochs=3)
    rows = measured(result.output_dir)
    assert result.is_finished
    assert any("trainer.max_steps" in line for line in said)
    assert [row["step"] for row in rows] == [0, 1, 2]
    assert "val/JF" in rows[2]


def test_a_limit_of_time_ends_the_run_as_if_done(run, tmp_path):
    result = run(tmp_path / "run", trainer__max_time_minutes=1e-6, trainer__max_epochs=50)
    assert result.is_finished
    assert result.last is not None
    assert len(measured(result.output_dir)) == 2


def test_a_log_without_a_terminal_shows_life(trained):
    log = (trained.output_dir / "train.log").read_text()
    lines = [line for line in log.splitlines() if "epoch " in line]
    assert [line.split("epoch ")[1].split(":")[0] for line in lines] == ["1/2", "2/2"]
    assert all(part in lines[0] for part in ("loss ", "J ", "val J&F ", "clips/s", "left"))
    assert "temporal_positional_encoding_projection_layer" in log


def test_a_terminal_gets_a_bar(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert run(tmp_path / "run", trainer__max_epochs=1).is_finished
    shown = capsys.readouterr().out
    assert all(part in shown for part in ("Epoch", "loss: ", "J: ", "clips/s: ", "left: "))


@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed"])
def test_half_precision_on_a_cpu_is_bfloat16_and_said_once(run, tmp_path, said, precision):
    result = run(tmp_path / "run", trainer__precision=precision, trainer__max_steps=1)
    assert math.isfinite(measured(result.output_dir)[0]["train/loss"])
    summary = json.loads((result.output_dir / "training_metrics.json").read_text())
    assert summary["precision"] == "bf16-mixed"
    num_said = sum("trainer.precision" in line for line in said)
    assert num_said == (1 if precision == "16-mixed" else 0)


def test_a_missing_wandb_is_said_once_and_does_no_harm(run, tmp_path, said, monkeypatch):
    monkeypatch.setattr("sam2_video.training.wandb_log.find_spec", lambda _: None)
    result = run(tmp_path / "run", use_wandb=True, trainer__max_steps=1)
    assert result.is_finished
    assert sum("use_wandb" in line for line in said) == 1
    assert (result.output_dir / "metrics.csv").is_file()
    assert list((result.output_dir / "tensorboard").glob("events*"))


@pytest.mark.parametrize("kind", ["a file", "under a file"])
def test_an_output_folder_that_cannot_be_is_a_line_of_error(
    kind, data, tmp_path, capsys, monkeypatch
):
    (tmp_path / "file").touch()
    place = {"a file": "file", "under a file": "file/run"}[kind]
    assert main(arguments(data, tmp_path / place)) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: output_dir: ")
    assert "--output-dir" in error


def test_a_full_disk_is_a_line_of_error(data, tmp_path, capsys, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sam2_video.training.metrics_log.write_rows", fail)
    assert main(arguments(data, tmp_path / "run")) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "cannot write" in error
    assert "No space left on device" in error


def arguments(data, output_dir):
    text = (
        f"train --data-path {data}/videos --dataset.masks-path {data}/masks --model-config micro "
        f"--dataset.image-size 64 64 --dataset.num-workers 0 --accelerator cpu --max-epochs 1 "
        f"--precision 32-true --no-wandb --output-dir {output_dir}"
    )
    return text.split()
