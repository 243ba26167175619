"""`sam2-video doctor` and `sam2_video.doctor`: text, files and exit codes."""

import json
from dataclasses import replace

import pytest

import sam2_video
from sam2_video.cli import main
from sam2_video.diagnosis import report
from sam2_video.diagnosis.machine import Gpu, look_at_machine

SMALL = """
model:
  config_path: micro
dataset:
  image_size: [64, 64]
  video_clip_length: 2
  max_objects: 2
prompts:
  conditioning_frames: 1
  corrected_frames: 0
"""


@pytest.fixture(autouse=True)
def sound(monkeypatch):
    """Let nothing be wrong with this machine but what a test says."""
    monkeypatch.setattr(report, "find_faults", lambda machine, config: [])


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(f"output_dir: {tmp_path}\n{SMALL}")
    return path


def test_machine_and_need_are_told_and_the_exit_code_is_0(config, capsys, tmp_path):
    assert main(["doctor", "--config", str(config), "--json", str(tmp_path / "all.json")]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("machine   ")
    (line,) = [line for line in printed if line.startswith("this needs about ")]
    assert line.endswith(" GB free")
    assert any(line.strip().startswith("kept for backward") for line in printed)
    assert printed[-1] == "0 errors, 0 warnings, 0 hints"
    content = json.loads((tmp_path / "all.json").read_text())
    parts = content["fit"]["need"]
    assert content["fit"]["total"] == sum(parts.values()) > 0
    assert content["fit"]["architecture"] == "micro"


def test_too_little_memory_is_an_error_with_a_way_out(config, capsys, monkeypatch):
    small = replace(look_at_machine(), gpus=(), free_memory=10**6)
    monkeypatch.setattr(report, "look_at_machine", lambda: small)
    assert main(["doctor", "--config", str(config)]) == 1
    printed = capsys.readouterr().out
    assert "with trainer.activation_checkpointing: cheap: 0.0" in printed
    assert "error: a step needs about 0.0" in printed
    assert "lower dataset.max_objects" in printed


def test_the_need_stands_beside_what_there_is_and_a_gpu_beside_its_preset(config, monkeypatch):
    gpu = Gpu("RTX 2080 Ti", int(11.5e9), 11 * 10**9)
    machine = replace(look_at_machine(), gpus=(gpu,))
    monkeypatch.setattr(report, "look_at_machine", lambda: machine)
    monkeypatch.setattr(report, "choose_precision", lambda wanted, accelerator: "bf16-mixed")
    found = sam2_video.doctor(config=config)
    assert found.fit is not None
    lines = str(found).splitlines()
    need = f"{found.fit.need.total / 1e9:.2f}"
    assert f"this needs about {need} GB; you have 11.0 GB free" in lines
    (told,) = [line for line in lines if line.startswith("GPU ")]
    assert told.endswith("RTX 2080 Ti, 11.5 GB, 11.0 GB free; its preset: configs/gpu-11gb.yaml")


def test_a_checkpoint_that_is_not_there_is_an_error_of_the_report(config, capsys):
    config.write_text(f"{SMALL}".replace("config_path: micro", "checkpoint_path: nowhere.pt"))
    assert main(["doctor", "--config", str(config)]) == 1
    assert "error: the network cannot be told: " in capsys.readouterr().out


def test_wrong_settings_are_wrong_usage(config, capsys):
    config.write_text("dataset:\n  image_size: [100, 100]\n")
    assert main(["doctor", "--config", str(config)]) == 2
    assert "dataset.image_size" in capsys.readouterr().err


def test_python_has_the_same(config):
    found = sam2_video.doctor(config=config)
    assert not found.has_errors
    assert found.fit is not None
    assert found.fit.architecture == "micro"
    with pytest.raises(ValueError, match="no such key"):
        sam2_video.doctor(imagesize=(64, 64))
