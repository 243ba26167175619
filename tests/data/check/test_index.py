"""The index: what is known is not read again, and what changed is."""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from multiprocessing import get_context

import numpy as np
import pytest
from loguru import logger

from sam2_video.data import check as check_module
from sam2_video.data.facts import look_at_video
from sam2_video.data.index import Known, fingerprint, load_index, save_index
from sam2_video.data.layout import open_dataset
from sam2_video.masks import read_mask_areas
from tests.data.check.conftest import NUM_FRAMES, found, write_frame, write_mask
from tests.disks import fill, make_read_only


@pytest.fixture
def looked(monkeypatch):
    """Return the list to which every video is added that is looked at."""
    names: list[str] = []

    def look(video, *, full=False):
        names.append(video.video_id)
        return look_at_video(video, full=full)

    monkeypatch.setattr("sam2_video.data.check.looking.look_at_video", look)
    return names


def test_a_second_check_reads_nothing_again_and_says_the_same(data, check, looked):
    write_mask(data / "Annotations" / "b" / "3.png", (1, 1, 4, 4), size=(4, 4))
    shutil.copyfile(data / "JPEGImages" / "c" / "2.jpg", data / "JPEGImages" / "c" / "5.jpg")
    first = check(data)
    assert looked == list("abcd")
    assert len(first.findings) == 2
    assert check(data) == first
    assert looked == list("abcd")


@pytest.mark.parametrize("place", ["JPEGImages/b/3.jpg", "Annotations/b/3.png"])
def test_a_changed_file_is_read_again_with_its_video(data, check, looked, place):
    check(data)
    path = data / place
    time = path.stat().st_mtime_ns
    os.utime(path, ns=(time, time + 1))
    check(data)
    assert looked == [*"abcd", "b"]


def test_a_file_of_another_size_and_the_same_time_is_read_again(data, check, looked):
    check(data)
    path = data / "JPEGImages" / "b" / "3.jpg"
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.write_bytes(path.read_bytes()[:-60])
    os.utime(path, ns=times)
    assert [one[0] for one in found(check(data))] == ["error"]


def test_a_removed_and_an_added_video_are_followed(data, check, looked):
    check(data)
    shutil.rmtree(data / "JPEGImages" / "b")
    shutil.copytree(data / "Annotations" / "b", data / "Annotations" / "e")
    for index in range(NUM_FRAMES):
        write_frame(data / "JPEGImages" / "e" / f"{index}.jpg", 9, index)
    assert [video.video for video in check(data).sets[0].videos] == list("acde")
    assert looked == [*"abcd", "e"]


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 255
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, flip, empty])
def test_a_damaged_index_is_made_anew(data, check, cache, looked, damage):
    first = check(data)
    (path,) = cache.iterdir()
    whole = path.read_bytes()
    damage(path)
    assert check(data) == first
    assert looked == list("abcd") * 2
    assert len(path.read_bytes()) == len(whole)
    check(data)
    assert looked == list("abcd") * 2


def test_an_index_whose_parts_contradict_each_other_is_damaged(data, check, cache):
    check(data)
    (path,) = cache.iterdir()
    with np.load(path) as file:
        arrays = dict(file)
    arrays["shown"] = arrays["shown"] + 100
    np.savez(path, **arrays)
    assert load_index(path) == {}


def test_an_index_with_a_part_that_is_no_array_is_damaged(data, check, cache):
    check(data)
    (path,) = cache.iterdir()
    with np.load(path) as file:
        arrays = dict(file)
    rest = arrays.pop("rest")
    np.savez(path, **arrays)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("rest", rest.tobytes())
    assert load_index(path) == {}


def test_without_a_folder_to_keep_it_in_the_check_goes_on(data, check, cache, log):
    cache.parent.parent.mkdir(parents=True)
    cache.parent.write_text("a file where the folder should be")
    assert not check(data).has_errors
    assert any("the index cannot be kept" in line for line in log)


@pytest.mark.parametrize("break_disk", [fill, make_read_only])
def test_an_index_that_cannot_be_written_is_told_once_and_the_one_before_stays(
    data, check, disk, monkeypatch, log, break_disk
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(disk))
    first = check(data)
    (path,) = (disk / "sam2_video" / "index").iterdir()
    before = path.read_bytes()
    break_disk(disk)
    shutil.copytree(data / "JPEGImages" / "b", data / "JPEGImages" / "e")
    shutil.copytree(data / "Annotations" / "b", data / "Annotations" / "e")
    report = check(data)
    assert [video.video for video in report.sets[0].videos] == list("abcde")
    assert report.sets[0].videos[:4] == first.sets[0].videos
    (told,) = [line for line in log if "index" in line and "cannot be kept" in line]
    assert "No space left on device" in told or "Read-only file system" in told
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == before


AS_NOBODY = """
import os, sys
import sam2_video.data.check, sam2_video.data.layout
os.setuid(65534)
from sam2_video.data.layout import open_dataset
print([video.object_ids for video in open_dataset(sys.argv[1])])
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user without rights")
def test_an_index_that_may_not_be_read_is_as_good_as_none(data, check, cache, tmp_path):
    check(data)
    for folder in (tmp_path, *tmp_path.parents[:-1]):
        if folder.stat().st_uid == os.getuid() and str(folder) != tempfile.gettempdir():
            folder.chmod(folder.stat().st_mode | 0o055)
    cache.parent.chmod(0o700)
    command = [sys.executable, "-c", AS_NOBODY, str(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == f"{[(1, 2)] * 4}\n", done.stderr


def test_a_user_without_a_home_opens_data_and_checks_them(data, check, monkeypatch):
    def home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("sam2_video.data.index.Path.home", home)
    assert [video.object_ids for video in open_dataset(data)] == [(1, 2)] * 4
    assert found(check(data)) == []


def test_processes_that_keep_an_index_at_once_leave_a_whole_one(data, tmp_path, log):
    known = {
        f"{video.video_id}{number}": Known(look_at_video(video), b"a" * 16, b"b" * 16)
        for video in open_dataset(data)
        for number in range(100)
    }
    path = tmp_path / "index.npz"
    context = get_context("fork")
    processes = [context.Process(target=save_often, args=(path, known)) for _ in range(3)]
    for process in processes:
        process.start()
    seen = set()
    while any(process.is_alive() for process in processes):
        seen.add(len(load_index(path)))
    for process in processes:
        process.join()
    assert seen <= {0, 400}
    assert not any("damaged" in line for line in log)
    assert len(load_index(path)) == 400
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["index.npz"]
    assert all(process.exitcode == 0 for process in processes)


def save_often(path, known):
    logger.add(lambda message: os._exit(1), level="WARNING")
    for _ in range(10):
        save_index(path, known)


def test_nothing_is_kept_when_it_is_not_wanted(data, check, cache, looked):
    check(data, keep_index=False)
    check(data, keep_index=False)
    assert not cache.exists()
    assert looked == list("abcd") * 2


def test_training_knows_visible_objects_from_the_index(data, check, monkeypatch):
    check(data)
    reads = []

    def read(path, *rest):
        reads.append(path)
        return read_mask_areas(path, *rest)

    monkeypatch.setattr("sam2_video.data.folder.read_mask_areas", read)
    for video in open_dataset(data):
        assert video.object_ids == (1, 2)
    assert reads == []
    path = data / "Annotations" / "b" / "3.png"
    path.touch()
    for video in open_dataset(data):
        assert video.object_ids == (1, 2)
    assert {one.parent.name for one in reads} == {"b"}


def test_what_is_kept_is_what_was_found(data, tmp_path):
    known = {
        video.video_id: Known(look_at_video(video), b"a" * 16, fingerprint(video.frames.files()))
        for video in open_dataset(data)
    }
    save_index(tmp_path / "index.npz", known)
    again = load_index(tmp_path / "index.npz")
    assert list(again) == list(known)
    for name, one in known.items():
        assert again[name].annotations == one.annotations
        assert again[name].frames == one.frames
        for field, value in vars(one.facts).items():
            assert np.array_equal(getattr(again[name].facts, field), value), field


def test_several_processes_find_the_same(data, check, monkeypatch):
    first = check(data, keep_index=False)
    config = check_module.inspect_data.__annotations__["config"]
    inspection = check_module.inspect_data(
        config(data_path=str(data), image_size=[256, 256], video_clip_length=4),
        0,
        keep_index=False,
        num_processes=2,
    )
    assert check_module.summarise(inspection) == first
