"""Pictures on a disk that is full or read-only: a run goes on without them, and says so once."""

import shutil

import pytest

from sam2_video.training.pictures import Pictures
from tests.disks import fill, make_read_only, mounted
from tests.training.conftest import at_call

DRAWN = {"trainer__pictures_every": 1, "trainer__max_epochs": 1}


def warnings(said):
    return [line for line in said if line.startswith("WARNING") and "pictures: " in line]


@pytest.mark.parametrize(
    ("break_disk", "message"),
    [(fill, "No space left on device"), (make_read_only, "Read-only file system")],
    ids=["full", "read-only"],
)
def test_pictures_that_cannot_be_written_are_told_once_and_the_run_goes_on(
    break_disk, message, run, tmp_path, monkeypatch, said
):
    with mounted(tmp_path / "run/pictures", size="1m") as disk:
        with monkeypatch.context() as patch:
            # the data and the first validation have been drawn
            at_call(patch, "training_step", 0, lambda: break_disk(disk))
            assert run(tmp_path / "run", **DRAWN).is_finished
        (told,) = warnings(said)
        assert message in told
        kept = {".zero_shot.pt", ".best.pt", "clips_first.png", "data.png"}
        assert {path.name for path in disk.iterdir()} - {"filler"} == kept


# TensorBoard's thread ends with the same error
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_disk_that_is_full_when_all_is_trained_takes_the_pictures_alone(
    run, disk, monkeypatch, said
):
    finish = Pictures.finish

    def fill_and_finish(*args):
        fill(disk)
        finish(*args)

    monkeypatch.setattr(Pictures, "finish", fill_and_finish)
    assert run(disk / "run", **DRAWN).is_finished
    (told,) = warnings(said)
    assert "No space left on device" in told
    assert list(disk.rglob(".*.part*")) == []
    assert not (disk / "run/report.html").exists()


def test_a_frame_that_breaks_is_no_harm_where_training_reads_features(
    run, data, tmp_path, monkeypatch, said
):
    """Only the pictures of its clips need it."""
    videos = shutil.copytree(data / "videos", tmp_path / "videos")

    def cut_off():
        for frame in videos.rglob("*.jpg"):
            frame.write_bytes(frame.read_bytes()[:200])

    features = {"dataset__feature_cache": str(tmp_path / "cache"), "dataset__val_fraction": 0.0}
    own = {"dataset__data_path": str(videos), **features, "trainer__pictures_every": 1}
    # pictures of the second epoch read frames
    at_call(monkeypatch, "training_step", 1, cut_off)
    assert run(tmp_path / "run", **own).is_finished
    (told,) = warnings(said)
    assert "damaged, truncated" in told
