"""A damaged training state is noticed, and the one before it used in its place."""

import shutil

import pytest
import torch

from sam2_video.model.writing import save_tensors
from sam2_video.training.resume import read_resume
from sam2_video.training.state_file import find_fault, seal
from tests.training.conftest import measured, network_of

CONTENT = {"weights": torch.arange(300.0), "loops": {"position": [1, 2, 3]}}


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 16
    path.unlink()  # other names of the file keep what they had
    path.write_bytes(content)


def test_no_flipped_bit_changes_a_state_unnoticed(tmp_path):
    whole = tmp_path / "whole.ckpt"
    save_tensors(CONTENT, whole)
    seal(whole)
    assert find_fault(whole) is None
    path = tmp_path / "flipped.ckpt"
    for place in range(whole.stat().st_size):
        shutil.copy(whole, path)
        flip(path, place)
        if find_fault(path) is None:
            # the digest's own name
            read = torch.load(path, weights_only=True)
            assert torch.equal(read["weights"], CONTENT["weights"]), place
            assert read["loops"] == CONTENT["loops"], place
            assert place >= whole.stat().st_size - 64


def test_a_state_of_an_earlier_version_is_judged_by_the_archives_own_checksums(tmp_path):
    path = tmp_path / "state.ckpt"
    save_tensors(CONTENT, path)
    assert find_fault(path) is None
    flip(path, path.stat().st_size // 2)
    assert "checksum" in str(find_fault(path))


def test_a_state_that_was_cut_off_is_noticed_at_every_length(tmp_path):
    path = tmp_path / "state.ckpt"
    save_tensors(CONTENT, path)
    seal(path)
    content = path.read_bytes()
    # without the digest at the end the archive is still whole
    for length in range(0, len(content) - 51, 37):
        path.write_bytes(content[:length])
        assert find_fault(path) is not None, length


@pytest.fixture(scope="module")
def finished(run, tmp_path_factory):
    output_dir = tmp_path_factory.mktemp("finished") / "run"
    run(output_dir)
    return output_dir


@pytest.fixture
def copied(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


@pytest.mark.parametrize("fault", ["cut off", "flipped", "gone"])
def test_the_state_before_a_damaged_one_is_used_and_said(fault, run, finished, copied):
    last = copied / "checkpoints/last.ckpt"
    if fault == "cut off":
        content = last.read_bytes()
        last.unlink()
        last.write_bytes(content[: len(content) // 2])
    elif fault == "flipped":
        flip(last, last.stat().st_size // 2)
    else:
        last.unlink()
    resume = read_resume(str(copied))
    assert resume.checkpoint.name == "previous.ckpt"
    assert resume.num_epochs == 1
    run(copied, resume=str(copied))
    log = (copied / "train.log").read_text()
    assert ("last.ckpt" in log and "is damaged; the one before it is used" in log) is (
        fault != "gone"
    )
    assert measured(copied) == measured(finished)
    ends = [network_of(folder / "checkpoints/last.ckpt") for folder in (copied, finished)]
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())
    # what it went on from is still the one before
    assert find_fault(last) is None
    assert read_resume(str(copied / "checkpoints/previous.ckpt")).num_epochs == 1


def test_damaged_states_are_all_named(copied):
    states = sorted((copied / "checkpoints").glob("*.ckpt"))
    for path in states:
        flip(path, path.stat().st_size // 2)
    with pytest.raises(ValueError, match="every checkpoint of") as told:
        read_resume(str(copied))
    assert len(states) == 4
    assert all(str(path) in str(told.value) for path in states)
    with pytest.raises(ValueError, match=r"last\.ckpt: damaged .*give another \.ckpt"):
        read_resume(str(copied / "checkpoints/last.ckpt"))
