"""A disk that fills up in a run: it says what is full, leaves no half file, and goes on later."""

import pytest
import torch

from sam2_video.training.state_file import find_fault
from tests.disks import fill, make_read_only
from tests.training.conftest import at_call, measured, network_of


def assert_whole(output_dir):
    """Every file under a final name is one, and nothing is left of others."""
    assert list(output_dir.rglob(".*.part*")) == []
    for path in output_dir.rglob("*.ckpt"):
        assert find_fault(path) is None, path
    for path in output_dir.rglob("*.pth"):
        torch.load(path, weights_only=True)
    assert all(path.stat().st_size for path in output_dir.glob("*.csv"))


@pytest.mark.parametrize(
    ("room", "method", "call", "message"),
    [
        (1_000_000, "training_step", 5, r"last\.ckpt \(No space left .* it takes 6\.\d+ MB, there"),
        (0, "training_step", 5, r"cannot write .*No space left"),
        (0, "on_validation_epoch_start", 1, r"cannot write .*No space left"),
    ],
    ids=["a state", "at all", "after validation"],
)
# TensorBoard's thread ends with the same error
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_full_disk_is_told_and_the_run_goes_on_after_room_is_made(
    room, method, call, message, run, disk, tmp_path, monkeypatch
):
    output_dir = disk / "run"
    with monkeypatch.context() as patch:
        at_call(patch, method, call, lambda: fill(disk, room))
        with pytest.raises(ValueError, match=message):
            run(output_dir)
    assert_whole(output_dir)
    (disk / "filler").unlink()
    has_state = (output_dir / "checkpoints/last.ckpt").is_file()
    assert run(output_dir, resume=str(output_dir) if has_state else None).is_finished
    run(tmp_path / "unbroken")
    assert measured(output_dir) == measured(tmp_path / "unbroken")
    ends = [network_of(d / "checkpoints/last.ckpt") for d in (output_dir, tmp_path / "unbroken")]
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def test_a_folder_that_is_read_only_is_told(run, disk):
    make_read_only(disk)
    with pytest.raises((ValueError, OSError), match="Read-only file system"):
        run(disk / "run")
