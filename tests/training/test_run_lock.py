"""One process writes to a run's folder, and stops when that is no longer there."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from sam2_video.training.run_lock import LOCK, FolderGoneError, RunLock
from tests.training.conftest import at_call

needs_mounts = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may mount a file system"
)


@pytest.fixture
def other_process(tmp_path):
    """Return the number of another process that holds a run's folder."""
    output_dir, ready = tmp_path / "run", tmp_path / "ready"
    number = os.fork()
    if not number:
        RunLock(output_dir).take()
        ready.touch()
        time.sleep(60)
        os._exit(0)
    while not ready.exists():
        time.sleep(0.01)
    yield number
    if not os.waitpid(number, os.WNOHANG)[0]:
        os.kill(number, signal.SIGKILL)
        os.waitpid(number, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no locks of files")
def test_a_second_run_in_a_folder_is_refused_while_the_first_lives(other_process, run, tmp_path):
    with pytest.raises(ValueError, match=f"process {other_process} on .* is training in"):
        run(tmp_path / "run")
    os.kill(other_process, signal.SIGKILL)
    os.waitid(os.P_PID, other_process, os.WEXITED | os.WNOWAIT)
    assert run(tmp_path / "run", trainer__max_epochs=1).is_finished
    assert not (tmp_path / "run" / LOCK).exists()


def test_a_run_whose_folder_is_deleted_stops_and_writes_nothing_more(run, tmp_path, monkeypatch):
    output_dir = tmp_path / "run"
    at_call(monkeypatch, "training_step", 5, lambda: shutil.rmtree(output_dir))
    with pytest.raises(FolderGoneError, match="is gone: deleted"):
        run(output_dir)
    assert not output_dir.exists()


@needs_mounts
def test_a_run_whose_disk_vanishes_writes_nothing_below_it(run, tmp_path, monkeypatch):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", disk], check=True)

    def vanish():
        subprocess.run(["umount", "-l", disk], check=True)

    try:
        at_call(monkeypatch, "training_step", 5, vanish)
        with pytest.raises(FolderGoneError, match="no longer mounted"):
            run(disk / "run")
    finally:
        subprocess.run(["umount", "-l", disk], check=False, capture_output=True)
    assert list(disk.iterdir()) == []
