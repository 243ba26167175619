"""One process writes to a run's folder, and stops when that is no longer there."""

import os
import shutil
import signal
import sys
import time

import pytest

from sam2_video.training.run_lock import LOCK, FolderGoneError, RunLock
from tests.disks import take_away
from tests.training.conftest import at_call


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


def test_a_lock_that_its_holder_removes_while_it_is_taken_is_taken_anew(tmp_path, monkeypatch):
    lock_file, numbers = RunLock._lock, []

    def end_and_lock(lock, number):
        if not numbers:
            lock.path.unlink()
        numbers.append(number)
        lock_file(lock, number)

    monkeypatch.setattr(RunLock, "_lock", end_and_lock)
    with RunLock(tmp_path) as lock:
        lock.take()
        lock.check()
        assert f"process {os.getpid()} on" in (tmp_path / LOCK).read_text()
    assert len(numbers) == 2


def test_a_run_whose_folder_is_deleted_stops_and_writes_nothing_more(run, tmp_path, monkeypatch):
    output_dir = tmp_path / "run"
    at_call(monkeypatch, "training_step", 5, lambda: shutil.rmtree(output_dir))
    with pytest.raises(FolderGoneError, match="is gone: deleted"):
        run(output_dir)
    assert not output_dir.exists()


def test_a_run_whose_disk_vanishes_writes_nothing_below_it(run, disk, monkeypatch):
    at_call(monkeypatch, "training_step", 5, lambda: take_away(disk))
    with pytest.raises(FolderGoneError, match="no longer mounted"):
        run(disk / "run")
    assert list(disk.iterdir()) == []
