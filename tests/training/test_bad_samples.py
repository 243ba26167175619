"""Data files that break during a run: it stops and names them, or goes on without them, exactly."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch

from sam2_video.data.bad_samples import BadSampleError
from sam2_video.training.run import train
from sam2_video.training.skipped import TooManyBadSamplesError
from sam2_video.training.trainer import MemoryTuner
from tests.training.conftest import (
    at_call,
    cut_off,
    measured,
    network_of,
    send,
    trained_videos,
)

CLIPS = {"dataset__clips_per_video": 3, "trainer__max_epochs": 3}
SKIP = CLIPS | {"dataset__on_bad_sample": "skip"}
BREAK_AT = 5
"""The clip before which files break, in the first of three epochs of 12."""


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_stops_at_a_file_that_breaks_and_names_it(
    workers, run, configure, own, tmp_path, monkeypatch
):
    def break_all():
        for frames in trained_videos(configure(tmp_path / "unused", **own)):
            cut_off(frames)

    at_call(monkeypatch, "training_step", BREAK_AT, break_all)
    with pytest.raises(BadSampleError) as told:
        run(tmp_path / "run", **CLIPS, **own, dataset__num_workers=workers)
    assert "damaged, truncated" in str(told.value)
    assert str(tmp_path / "data/videos") in str(told.value)
    assert "--dataset.on-bad-sample skip" in str(told.value)
    assert "Traceback" not in str(told.value)


def test_skipped_clips_are_counted_named_and_the_same_after_a_resume(
    run, configure, own, tmp_path, monkeypatch, said
):
    broken = trained_videos(configure(tmp_path / "unused", **own))[0]
    cut_off(broken)
    unbroken = run(tmp_path / "unbroken", **SKIP, **own)
    summary = json.loads((tmp_path / "unbroken/training_metrics.json").read_text())
    # three clips an epoch are of the broken video
    assert summary["skipped_clips"] == 9
    assert sum(summary["skipped_because"].values()) == 9
    assert all(str(broken) in reason for reason in summary["skipped_because"])
    warned = [line for line in said if "a clip is skipped" in line]
    assert len(warned) == len(summary["skipped_because"])

    with monkeypatch.context() as patch:
        at_call(patch, "training_step", 17, send(signal.SIGTERM))
        assert not run(tmp_path / "run", **SKIP, **own, dataset__num_workers=1).is_finished
    assert run(tmp_path / "run", resume=str(tmp_path / "run"), **SKIP, **own).is_finished
    resumed = json.loads((tmp_path / "run/training_metrics.json").read_text())
    assert resumed["skipped_because"] == summary["skipped_because"]
    assert measured(tmp_path / "run") == measured(unbroken.output_dir)
    ends = [network_of(tmp_path / name / "checkpoints/last.ckpt") for name in ("run", "unbroken")]
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def test_too_many_faults_stop_a_run_that_skips(run, configure, own, tmp_path):
    cut_off(trained_videos(configure(tmp_path / "unused", **own))[0])
    with pytest.raises(TooManyBadSamplesError, match=r"more than dataset\.max_bad_samples: 0"):
        run(tmp_path / "run", **SKIP, **own, dataset__max_bad_samples=0)


def test_data_that_are_gone_are_not_searched_for_for_ever(run, own, tmp_path, monkeypatch):
    def vanish():
        shutil.rmtree(own["dataset__data_path"])

    at_call(monkeypatch, "training_step", BREAK_AT, vanish)
    with pytest.raises(BadSampleError, match=r"9 clips in turn .*No such file.*disk with the data"):
        run(tmp_path / "run", **SKIP, **own)


def test_a_loading_process_that_the_system_kills_is_told_with_the_way_out(
    configure, tmp_path, monkeypatch
):
    loaders = []

    def kill_loaders(self, batch, batch_idx):
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        if not loaders:
            loaders.extend(children)
            for number in children:
                os.kill(int(number), signal.SIGKILL)
        return step(self, batch, batch_idx)

    step = MemoryTuner.training_step
    monkeypatch.setattr(MemoryTuner, "training_step", kill_loaders)
    with pytest.raises(ValueError, match=r"DataLoader worker.*memory is full.*--shm-size.*num_w"):
        train(configure(tmp_path / "run", dataset__num_workers=1, dataset__clips_per_video=20))
    assert loaders
