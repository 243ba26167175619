"""Training on a CPU starts once more, in an environment that keeps its heap small."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sam2_video.cli import fresh_process, main
from sam2_video.cli.fresh_process import start_again_for_memory
from sam2_video.model.heap import joining_environment

ROOT = Path(__file__).parents[2]
SAY_HOW = "import os, sys; print('starts with', os.environ.get('GLIBC_TUNABLES'), file=sys.stderr)"
COMMAND = "import sys; from sam2_video.cli import main; sys.exit(main())"

pytestmark = pytest.mark.skipif(not joining_environment({}), reason="no glibc")


@pytest.fixture
def starts(monkeypatch):
    """Stand in for the system's call; keep what was to be started."""
    started = []
    monkeypatch.setattr(os, "execve", lambda *call: started.append(call))
    for name in list(os.environ):
        if name.startswith(("MALLOC_", "GLIBC_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "argv", ["sam2-video", "train", "--lr", "x"])
    monkeypatch.setattr(sys, "orig_argv", ["python", *sys.argv])
    monkeypatch.setattr(fresh_process, "_GPU_DRIVERS", ("/no/such/driver",))
    return started


def test_the_same_command_starts_in_the_wanted_environment(starts):
    start_again_for_memory()
    [(program, command, environment)] = starts
    assert program == sys.executable
    assert command == [sys.executable, "sam2-video", "train", "--lr", "x"]
    assert environment == os.environ | joining_environment({})


def test_it_starts_once(starts, monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", joining_environment({})["GLIBC_TUNABLES"])
    start_again_for_memory()
    assert starts == []


def test_a_debugger_keeps_its_process(starts, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "pdb", *sys.argv])
    start_again_for_memory()
    assert starts == []


def test_a_machine_with_a_gpu_needs_none(starts, monkeypatch, tmp_path):
    driver = tmp_path / "driver"
    driver.touch()
    monkeypatch.setattr(fresh_process, "_GPU_DRIVERS", (str(driver),))
    start_again_for_memory()
    assert starts == []


def test_where_nothing_can_be_started_it_goes_on(starts, monkeypatch):
    def refuse(*_):
        raise OSError("no more processes")

    monkeypatch.setattr(os, "execve", refuse)
    start_again_for_memory()


def test_only_a_command_line_to_train_does(starts, capsys):
    assert main(["train", "--lr", "x"]) == 2
    sys.argv[1] = "score"
    with pytest.raises(SystemExit):
        main()
    assert starts == []


@pytest.mark.parametrize("script", ["train.py", "sam2-video"])
def test_a_command_tells_what_is_wrong_in_its_second_process(script, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(SAY_HOW)
    if script == "sam2-video":
        (tmp_path / script).write_text(COMMAND)
        command = [str(tmp_path / script), "train"]
    else:
        command = [str(ROOT / script)]
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, *command, "--lr", "x"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=plain | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )
    assert done.returncode == 2
    has_gpu = any(Path(driver).exists() for driver in fresh_process._GPU_DRIVERS)
    starts = ["None"] if has_gpu else ["None", joining_environment({})["GLIBC_TUNABLES"]]
    said = [line for line in done.stderr.splitlines() if line.startswith("starts with")]
    assert said == [f"starts with {start}" for start in starts]
    assert done.stderr.count("trainer.lr: got 'x'") == 1
