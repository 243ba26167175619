"""Faults of a machine: each is found where it is, and not where it is not."""

import shutil
import subprocess
import sys
from collections import namedtuple
from dataclasses import replace

import pytest

from sam2_video.configuration import load_config
from sam2_video.diagnosis import faults
from sam2_video.diagnosis.faults import find_disk_faults, find_faults
from sam2_video.diagnosis.machine import Gpu, Machine, look_at_machine

Usage = namedtuple("Usage", "total used free")
QUIET = {"use_wandb": False, "dataset.num_workers": 0}


@pytest.fixture
def machine() -> Machine:
    """Return this machine as if it had a GPU that torch sees."""
    gpu = Gpu("H100", 80 * 10**9, 79 * 10**9)
    return replace(look_at_machine(), gpus=(gpu,), torch_cuda="12.8", has_nvidia=True)


@pytest.fixture(autouse=True)
def no_torchvision(monkeypatch):
    """Let it be missing, as is right; tests that want it say so."""
    find = faults.find_spec
    monkeypatch.setattr(faults, "find_spec", lambda n: None if n == "torchvision" else find(n))


def found(machine, **settings):
    settings = QUIET | {name.replace("__", "."): value for name, value in settings.items()}
    return find_faults(machine, load_config(None, settings))


def test_a_sound_machine_has_no_errors(machine):
    assert [fault for fault in found(machine) if fault.grade == "error"] == []


def test_a_torch_for_cpus_beside_a_gpu_is_an_error_unless_cpus_are_asked_for(machine):
    machine = replace(machine, gpus=(), torch_cuda=None)
    (fault,) = [fault for fault in found(machine) if fault.grade == "error"]
    assert "build for CPUs, but there is an NVIDIA GPU" in fault.what
    assert "CUDA build" in fault.way_out
    assert not [f for f in found(machine, trainer__accelerator="cpu") if f.grade == "error"]


def test_a_driver_that_torch_cannot_use_is_an_error(machine):
    (fault,) = [f for f in found(replace(machine, gpus=())) if f.grade == "error"]
    assert "sees no GPU, but there is a driver" in fault.what


def test_a_gpu_that_is_asked_for_and_missing_is_an_error(machine):
    machine = replace(machine, gpus=(), torch_cuda=None, has_nvidia=False)
    (fault,) = [f for f in found(machine, trainer__accelerator="gpu") if f.grade == "error"]
    assert "there is none" in fault.what


@pytest.mark.parametrize("is_broken", [True, False])
def test_a_torchvision_that_does_not_import_is_an_error(machine, monkeypatch, tmp_path, is_broken):
    line = "raise RuntimeError('operator torchvision::nms does not exist')" if is_broken else ""
    (tmp_path / "torchvision.py").write_text(f"{line}\nclass ops:\n    nms = None\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(faults, "find_spec", lambda name: name)
    errors = [fault for fault in found(machine) if fault.grade == "error"]
    assert len(errors) == is_broken
    # never in this process
    assert "torchvision" not in sys.modules
    if is_broken:
        assert errors[0].what.endswith("operator torchvision::nms does not exist")
        assert "pip uninstall torchvision" in errors[0].way_out


def test_a_torchvision_that_hangs_is_an_error(machine, monkeypatch):
    def hang(*_, timeout, **__):
        raise subprocess.TimeoutExpired("python", timeout)

    monkeypatch.setattr(faults, "find_spec", lambda name: name)
    monkeypatch.setattr(faults.subprocess, "run", hang)
    assert any("does not end" in fault.what for fault in found(machine))


def test_missing_codecs_are_named(machine, monkeypatch):
    assert not any("PyAV" in fault.what for fault in found(machine))
    monkeypatch.setattr(faults, "CODECS", ("h264", "no_such", "nor_such"))
    (fault,) = [fault for fault in found(machine) if "PyAV" in fault.what]
    assert fault.grade == "warning"
    assert "cannot decode no_such, nor_such:" in fault.what


def test_wandb_is_missed_only_where_it_is_wanted(machine, monkeypatch):
    monkeypatch.setattr(faults, "find_spec", lambda name: None)
    assert [f.grade for f in found(machine, use_wandb=True) if "wandb" in f.what] == ["hint"]
    assert not [fault for fault in found(machine) if "wandb" in fault.what]


def test_a_missing_compiler_is_a_hint(machine, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/c++" if name == "c++" else None)
    assert not any("compiler" in fault.what for fault in found(machine))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert [f.grade for f in found(machine) if "compiler" in f.what] == ["hint"]


@pytest.mark.parametrize("is_installed", [True, False])
@pytest.mark.parametrize(("how", "number"), [("off", 0), ("auto", 1), ("max", 1)])
def test_triton_is_missed_where_a_gpu_is_compiled_for(
    machine, monkeypatch, how, number, is_installed
):
    other = faults.find_spec
    monkeypatch.setattr(
        faults, "find_spec", lambda n: (n if is_installed else None) if n == "triton" else other(n)
    )
    told = [fault for fault in found(machine, trainer__compile=how) if "triton" in fault.what]
    assert [fault.grade for fault in told] == ["warning"] * (0 if is_installed else number)
    bare = replace(machine, gpus=())
    assert not [fault for fault in found(bare, trainer__compile=how) if "triton" in fault.what]


def test_shared_memory_must_hold_what_is_loaded_ahead(machine, monkeypatch, tmp_path):
    monkeypatch.setattr(faults, "SHARED", tmp_path)
    # 2 workers x 2 batches x 4 clips x 5 frames x 6 bytes a pixel
    needed = 2 * 2 * 4 * 5 * 6 * 64 * 64
    size = {"dataset__image_size": [64, 64], "dataset__batch_size": 4, "dataset__num_workers": 2}
    for free, number in ((needed, 0), (needed - 1, 1)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: Usage(0, 0, free))
        told = [fault for fault in found(machine, **size) if "/dev/shm" in fault.what]
        assert len(told) == number
    assert not any("/dev/shm" in f.what for f in found(machine, dataset__num_workers=0))


@pytest.mark.parametrize(
    ("free", "grades"), [(60, []), (59, ["warning"]), (20, ["warning"]), (19, ["error"])]
)
def test_the_disk_must_hold_the_checkpoints(monkeypatch, tmp_path, free, grades):
    asked = []
    monkeypatch.setattr(shutil, "disk_usage", lambda p: asked.append(p) or Usage(0, 0, free))
    settings = {"output_dir": str(tmp_path / "not" / "yet"), "trainer.keep_checkpoints": 3}
    told = find_disk_faults(load_config(None, settings), 10)
    assert [fault.grade for fault in told] == grades
    assert asked == [tmp_path]
