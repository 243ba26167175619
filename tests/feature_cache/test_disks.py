"""A feature cache on a disk that fills up, is read-only or vanishes: told, and gone on with."""

import shutil

import pytest

from sam2_video.data.bad_samples import BadSampleError
from sam2_video.feature_cache.claims import Claims
from sam2_video.training.run import train
from tests.disks import fill, make_read_only, take_away
from tests.feature_cache.test_fill import LENGTHS, Counted, run
from tests.training.conftest import at_call


class Breaking(Counted):
    """Does something before a chunk of frames is encoded."""

    def __init__(self, number, action):
        super().__init__()
        self.number, self.action = number, action

    def __call__(self, pixels):
        if len(self.sizes) == self.number:
            self.action()
        return super().__call__(pixels)


# the video of 11 frames is encoded in two chunks, after one of 3 frames
FIRST, SECOND = 1, 2


@pytest.mark.parametrize("room", [0, 4096], ids=["at all", "half a video"])
def test_a_disk_that_fills_up_ends_the_filling_and_leaves_whole_videos(disk, room):
    with pytest.raises(
        ValueError,
        match=r"dataset\.feature_cache: cannot write .*1\.features "
        r"\(No space left on device: it takes 0\.01 MB, there is room for",
    ):
        run(disk / "cache", Breaking(FIRST, lambda: fill(disk, room)))
    assert {path.name for path in (disk / "cache").iterdir()} == {"locks", "0.features"}
    (disk / "filler").unlink()
    _, counted = run(disk / "cache")
    assert sum(counted.sizes) == sum(LENGTHS[1:])


def test_a_disk_that_is_read_only_is_told(disk):
    make_read_only(disk)
    counted = Counted()
    with pytest.raises(ValueError, match=r"dataset\.feature_cache: .*Read-only file system"):
        run(disk / "cache", counted)
    assert counted.sizes == []


GONE = r"dataset\.feature_cache: cannot write .*; make room, bring the disk back"


@pytest.mark.parametrize("number", [FIRST, SECOND])
def test_a_disk_that_vanishes_ends_the_filling_and_nothing_is_written_below_it(disk, number):
    with pytest.raises(ValueError, match=GONE):
        run(disk / "cache", Breaking(number, lambda: take_away(disk)))
    assert list(disk.iterdir()) == []


@pytest.mark.parametrize("is_made_anew", [False, True])
def test_a_disk_that_vanishes_between_two_videos_is_noticed(disk, monkeypatch, is_made_anew):
    give_back = Claims.give_back

    def vanish(self, name):
        give_back(self, name)
        take_away(disk)
        if is_made_anew:
            (disk / "cache").mkdir()
            (disk / "cache" / "locks").touch()

    monkeypatch.setattr(Claims, "give_back", vanish)
    counted = Counted()
    with pytest.raises(ValueError, match=GONE):
        run(disk / "cache", counted)
    assert counted.sizes == [3]
    assert list(disk.rglob("*")) == ([disk / "cache", disk / "cache/locks"] if is_made_anew else [])


def test_features_that_vanish_while_training_reads_them_end_the_run_with_their_name(
    configure, tmp_path, monkeypatch
):
    at_call(monkeypatch, "training_step", 5, lambda: shutil.rmtree(tmp_path / "cache"))
    with pytest.raises(BadSampleError, match=r"No such file .*\.features'. .*go on with --resume"):
        train(configure())
    # they are made anew
    assert train(configure(resume=str(tmp_path / "run"))).is_finished
