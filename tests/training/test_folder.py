"""Who may write to a run's folder, and its table of metrics."""

import errno
from pathlib import Path

import pytest

from sam2_video.training.folder import (
    cannot_write,
    check_free,
    claim,
    find_resume,
    is_main_process,
)
from sam2_video.training.metrics_log import MetricsCsv

RANKS = "RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID"


@pytest.mark.parametrize(
    ("ranks", "is_main"),
    [
        ({}, True),
        ({"LOCAL_RANK": "0", "NODE_RANK": "0"}, True),
        ({"LOCAL_RANK": "1"}, False),
        ({"NODE_RANK": "1"}, False),  # the first process of the second machine
        ({"RANK": "8", "LOCAL_RANK": "0", "GROUP_RANK": "1"}, False),
        ({"SLURM_PROCID": "3"}, False),
    ],
)
def test_one_process_of_all_machines_writes(ranks, is_main, monkeypatch):
    for name in RANKS:
        monkeypatch.delenv(name, raising=False)
    for name, value in ranks.items():
        monkeypatch.setenv(name, value)
    assert is_main_process() is is_main


def test_files_of_others_do_not_make_a_folder_a_run(tmp_path):
    (tmp_path / "metrics.csv").write_text("theirs")
    check_free(tmp_path)
    claim(tmp_path)
    assert (tmp_path / "metrics.csv").read_text() == "theirs"


def test_a_run_is_found_by_its_folder_and_by_a_checkpoint(tmp_path):
    last = tmp_path / "run/checkpoints/last.ckpt"
    last.parent.mkdir(parents=True)
    last.touch()
    assert find_resume(str(tmp_path / "run")) == (last, tmp_path / "run")
    assert find_resume(str(last)) == (last, tmp_path / "run")


def test_only_failures_to_write_the_folder_are_told_as_such(tmp_path):
    inside, outside = str(tmp_path / "run/x"), str(tmp_path / "data/x.jpg")
    told = cannot_write(OSError(errno.EACCES, "Permission denied", inside), tmp_path / "run")
    assert f"cannot write {inside} (Permission denied)" in str(told)
    assert cannot_write(OSError(errno.EACCES, "no", outside), tmp_path / "run") is None
    assert cannot_write(OSError(errno.EIO, "no", inside), tmp_path / "run") is None
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    (tmp_path / "run/checkpoints/last.ckpt").touch()
    told = cannot_write(OSError(errno.ENOSPC, "No space left"), tmp_path / "run")
    assert f"--resume {tmp_path / 'run'}" in str(told)


def test_a_run_of_metrics_is_a_table_of_steps_first(tmp_path):
    table = MetricsCsv(tmp_path / "metrics.csv")
    table.log_metrics({"val/J": 0.1 + 0.2, "epoch": 0.0}, step=0)
    table.log_metrics({"train/loss": 1e-30, "epoch": 0.0}, step=1)
    table.finalize("success")
    assert (tmp_path / "metrics.csv").read_text().splitlines() == [
        "step,epoch,train/loss,val/J",
        "0,0,,0.30000000000000004",
        "1,0,1e-30,",
    ]


def test_a_resumed_table_keeps_what_is_not_measured_again(tmp_path):
    first = MetricsCsv(tmp_path / "metrics.csv")
    for step in range(4):
        first.log_metrics({"train/loss": float(step), "epoch": 0.0}, step=step)
    first.log_metrics({"val/JF": 0.5, "val/J": 0.4, "epoch": 0.0}, step=2)
    first.save_table()
    resumed = MetricsCsv(tmp_path / "metrics.csv", first_step=2)
    assert [row["step"] for row in resumed.rows] == [0, 1, 2]
    assert resumed.rows[1]["train/loss"] == 1.0
    assert resumed.rows[2] == {"step": 2.0, "epoch": 0.0, "val/JF": 0.5, "val/J": 0.4}
    assert MetricsCsv(tmp_path / "metrics.csv").rows == []


def test_what_was_not_measured_is_left_empty(tmp_path):
    table = MetricsCsv(tmp_path / "metrics.csv")
    table.log_metrics({"train/J": float("nan"), "train/loss": 1.0}, step=0)
    assert table.rows == [{"step": 0.0, "train/loss": 1.0}]


def test_the_table_is_not_written_at_every_step(tmp_path, monkeypatch):
    writes = []
    monkeypatch.setattr(
        "sam2_video.training.metrics_log.write_rows", lambda path, rows, _: writes.append(len(rows))
    )
    table = MetricsCsv(Path(tmp_path / "metrics.csv"))
    for step in range(100):
        table.log_metrics({"train/loss": 1.0}, step=step)
    assert writes == [1]
    table.finalize("success")
    assert writes == [1, 100]
