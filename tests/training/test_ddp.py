"""Two processes train as one process on the joined batch, stop together and fail together."""

import os
import signal
import subprocess
import sys

import pytest
import torch

from sam2_video.configuration import save
from sam2_video.data.datamodule import ClipDataModule
from tests.training.conftest import measured

SETTINGS = {
    "model__trainable_modules": ["memory", "mask_decoder"],
    "dataset__clips_per_video": 2,
    "trainer__ema_decay": 0.9,
    "lora__modules": ["image_encoder.neck"],
}
BATCHES = 4
"""Of each process in an epoch."""

# one more line than train.py: what goes wrong, in which process and before which of its batches
SCRIPT = """
import os, signal, sys
import torch
from sam2_video.cli.train import run_train
from sam2_video.training.trainer import MemoryTuner

kind, rank, number = os.environ["FAULT"].split()
train_on, batches = MemoryTuner.training_step, []
def faulty(self, batch, batch_idx):
    batches.append(batch)
    if self.trainer.global_rank == int(rank) and len(batches) == int(number):
        if kind == "signal":
            os.kill(os.getpid(), signal.SIGTERM)
        if kind == "nan":
            with torch.no_grad():
                self.model.network.memory_attention.layer_norm.weight.fill_(float("nan"))
    return train_on(self, batch, batch_idx)
MemoryTuner.training_step = faulty
sys.exit(run_train(sys.argv[1:]))
"""


def launch(tmp_path, fault, *arguments):
    (tmp_path / "run.py").write_text(SCRIPT)
    return subprocess.run(
        [sys.executable, str(tmp_path / "run.py"), *arguments],
        env=os.environ | {"FAULT": fault},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture
def one_thread(monkeypatch):
    """Compute with one thread here and in what is launched: Lightning gives each process its share
    of the cores, and sums over other numbers of threads round otherwise."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def config_path(configure, tmp_path):
    config = configure(tmp_path / "run", **SETTINGS, trainer__devices=2)
    save(config, tmp_path / "config.yaml")
    return str(tmp_path / "config.yaml")


@pytest.mark.usefixtures("one_thread")
def test_two_processes_are_one_with_a_batch_twice_as_large(configure, run, config_path, tmp_path):
    """Two stop in the second epoch, and one process goes on from there as if it had been one."""
    joined = {**SETTINGS, "dataset__batch_size": 2}
    config = configure(tmp_path / "one", **joined)
    datamodule = ClipDataModule(config.dataset, config.seed)
    datamodule.setup()
    # as the two processes share out the clips of each of these batches
    objects = [batch.object_clip.bincount().tolist() for batch in datamodule.train_dataloader()]
    assert any(first != second for first, second in objects)
    run(tmp_path / "one", **joined)

    # the signal reaches the main process alone
    stopped = launch(tmp_path, f"signal 0 {BATCHES + 2}", "--config", config_path)
    assert stopped.returncode == 128 + signal.SIGTERM, stopped.stderr
    assert f"stopped at step {BATCHES + 2}" in stopped.stderr
    assert "Warning" not in stopped.stderr
    run(tmp_path / "run", resume=str(tmp_path / "run"), **joined)

    rows, expected = measured(tmp_path / "run"), measured(tmp_path / "one")
    assert [row["step"] for row in rows] == list(range(2 * BATCHES + 1))
    # of the same weights, two processes say what one says, to the last digit
    assert validation_of(rows[0]) == validation_of(expected[0])
    assert len(validation_of(rows[0])) == 3
    for row, other in zip(rows, expected, strict=True):
        # of weights that differ by rounding a few pixels at the edge of a mask may flip
        assert validation_of(row) == pytest.approx(validation_of(other), abs=1e-3), row["step"]
        others = {name: other[name] for name in other.keys() - validation_of(other).keys()}
        assert {name: row[name] for name in row.keys() - validation_of(row).keys()} == (
            pytest.approx(others, rel=1e-4)
        ), row["step"]
    weights, others = (
        torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for name in ("run", "one")
    )
    for name, value in weights.items():
        # softmax cannot see a bias of the keys: its gradient is rounding, which Adam blows up
        if not name.endswith("k_proj.bias"):
            torch.testing.assert_close(value, others[name], atol=2e-5, rtol=1e-3, msg=name)
    # there are two processes, but one speaks
    assert stopped.stderr.count("what learns") == stopped.stderr.count("epoch 1/2") == 1


def validation_of(row):
    return {name: value for name, value in row.items() if name.startswith("val")}


def test_a_bad_loss_in_one_process_ends_both_with_one_error(config_path, tmp_path):
    failed = launch(tmp_path, "nan 1 2", "--config", config_path)
    assert failed.returncode == 1, failed.stderr
    errors = [line for line in failed.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "the loss is nan (video video_" in errors[0]
    assert "Traceback" not in failed.stderr
    found = [path.name for path in (tmp_path / "run").glob("failed_batch*")]
    assert found == ["failed_batch_rank1.pt"]
