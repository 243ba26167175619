"""Devices, precision, loggers and noise on machines other than this one."""

import logging
import subprocess
import sys
import warnings
from types import ModuleType, SimpleNamespace

import pytest
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from loguru import logger

from sam2_video.training import loggers, messages
from sam2_video.training.machine import (
    choose_precision,
    count_devices,
    end_other_processes,
    has_failed_process,
    resolve_accelerator,
)
from sam2_video.training.metrics_log import MetricsCsv


@pytest.mark.parametrize(
    ("wanted", "accelerator", "has_bf16", "chosen"),
    [
        ("auto", "cpu", False, "32-true"),
        ("16-mixed", "cpu", False, "bf16-mixed"),
        ("bf16-mixed", "cpu", False, "bf16-mixed"),
        ("auto", "gpu", True, "bf16-mixed"),
        ("auto", "gpu", False, "16-mixed"),
        ("bf16-mixed", "gpu", False, "16-mixed"),
        ("16-mixed", "gpu", True, "16-mixed"),
        ("32-true", "gpu", True, "32-true"),
        ("16-mixed", "mps", False, "32-true"),
    ],
)
def test_precision_is_the_nearest_that_a_device_can(
    wanted, accelerator, has_bf16, chosen, monkeypatch
):
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: has_bf16)
    assert choose_precision(wanted, accelerator) == chosen


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match=r"trainer\.accelerator.*--accelerator cpu"):
        resolve_accelerator("gpu")


def test_devices_are_counted(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    assert count_devices("auto", "gpu") == 4
    assert count_devices(2, "gpu") == 2
    assert count_devices("auto", "cpu") == 1
    assert count_devices(3, "cpu") == 3
    with pytest.raises(ValueError, match=r"trainer\.devices: got 8, but torch sees 4"):
        count_devices(8, "gpu")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr("sam2_video.training.wandb_log.find_spec", lambda _: "a package")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("WANDB_MODE", "WANDB_API_KEY", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_wandb_without_an_account_never_asks_for_one(home, monkeypatch):
    assert "nobody is logged in" in str(loggers.why_no_wandb())
    (home / ".netrc").write_text("machine api.wandb.ai\n  login user\n  password key\n")
    assert loggers.why_no_wandb() is None
    (home / ".netrc").unlink()
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert loggers.why_no_wandb() is None


def test_wandb_that_cannot_be_reached_does_no_harm(home, monkeypatch):
    class Error(Exception):
        pass

    class Unreachable:
        def __init__(self, *_, **__):
            pass

        @property
        def experiment(self):
            raise Error("no network")

    wandb = ModuleType("wandb")
    wandb.__dict__["Error"] = Error
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setattr("sam2_video.training.wandb_log.SparableWandb", Unreachable)
    monkeypatch.setenv("WANDB_API_KEY", "key")
    found = loggers.open_loggers(home, MetricsCsv(home / "metrics.csv"), None, "project")
    assert [type(log).__name__ for log in found] == ["MetricsCsv", "TensorBoardLogger"]


def test_noise_is_kept_back_and_warnings_that_matter_are_not():
    lightning_log = logging.getLogger("lightning.pytorch")
    level = lightning_log.level
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with messages.without_noise(is_debug=False):
            warnings.warn("Found 12 module(s) in eval mode at the start of training.", stacklevel=1)
            warnings.warn("the disk is nearly full", stacklevel=1)
            assert lightning_log.level == logging.WARNING
    assert [str(warning.message) for warning in caught] == ["the disk is nearly full"]
    assert lightning_log.level == level


def test_the_log_of_a_caller_stays_his_own(tmp_path, capsys):
    lines = []
    handler = logger.add(lambda line: lines.append(str(line)), format="{message}")
    for number in range(2):
        with messages.RunLog(is_debug=False) as log:
            logger.info(f"before {number}")
            log.open_file(tmp_path)
            logger.info(f"after {number}")
            logger.debug("details")
    logger.info("afterwards")
    logger.remove(handler)
    expected = ["before 0", "after 0", "before 1", "after 1"]
    assert [line.strip() for line in lines if line != "details\n"] == [*expected, "afterwards"]
    text = (tmp_path / "train.log").read_text()
    assert [line.split("    ")[-1] for line in text.splitlines()] == expected
    # on the terminal each line comes once, although loguru has a handler of its own
    terminal = capsys.readouterr().err
    assert [terminal.count(line) for line in expected] == [1] * 4


def processes(*codes):
    launcher = _SubprocessScriptLauncher.__new__(_SubprocessScriptLauncher)
    launcher.procs = [subprocess.Popen([sys.executable, "-c", code]) for code in codes]
    return SimpleNamespace(strategy=SimpleNamespace(launcher=launcher)), launcher.procs


def test_processes_that_wait_for_ever_are_ended(monkeypatch):
    monkeypatch.setattr("sam2_video.training.machine.SECONDS_TO_END", 0.5)
    trainer, (waiting, done) = processes("import time; time.sleep(60)", "")
    end_other_processes.__wrapped__(trainer)
    assert done.wait(5) == 0
    assert waiting.wait(5) != 0


def test_a_failed_process_is_seen(monkeypatch):
    monkeypatch.setattr("sam2_video.training.machine.SECONDS_TO_FAIL", 5)
    trainer, _ = processes("import time; time.sleep(0.2); raise SystemExit(1)")
    assert has_failed_process.__wrapped__(trainer)
    monkeypatch.setattr("sam2_video.training.machine.SECONDS_TO_FAIL", 0.3)
    trainer, (process,) = processes("import time; time.sleep(3)")
    assert not has_failed_process.__wrapped__(trainer)
    process.kill()
    process.wait()
