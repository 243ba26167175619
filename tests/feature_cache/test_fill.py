"""Filling a cache: what is missing or damaged, by one process or several, and going on."""

import multiprocessing
import shutil
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from sam2_video.feature_cache import (
    Encoder,
    RowLayout,
    Wanted,
    delete_stale,
    describe_stale,
    fill,
    find_stale,
)
from sam2_video.feature_cache.claims import Claims
from sam2_video.structures import FrameLevels

CPU = torch.device("cpu")
LENGTHS = (3, 11, 1)
SIZE = (8, 8)


def read(video, frames, device):
    values = torch.tensor([100.0 * video + frame for frame in frames], device=device)
    return values[:, None, None, None].expand(-1, 3, *SIZE)


def encode(pixels):
    return FrameLevels(pixels[:, :, :2, :2], pixels[:, :2, :4, :4], pixels[:, :1], True)


def make_wanted(lengths=LENGTHS):
    return [
        Wanted(f"{number}.features", f"video_{number}", length, partial(read, number))
        for number, length in enumerate(lengths)
    ]


LAYOUT = RowLayout.of(encode(torch.zeros(1, 3, *SIZE)), "fp32")


class Counted:
    """Counts the frames that are encoded, and stops after some."""

    def __init__(self, stop_after=None):
        self.sizes = []
        self.stop_after = stop_after

    def __call__(self, pixels):
        if self.stop_after is not None and len(self.sizes) == self.stop_after:
            raise KeyboardInterrupt
        self.sizes.append(len(pixels))
        return encode(pixels)


def run(folder, counted=None, wanted=None, **settings):
    counted = counted or Counted()
    filled = fill(folder, wanted or make_wanted(), LAYOUT, [Encoder(CPU, counted)], **settings)
    return filled, counted


def test_each_frame_is_encoded_once_and_in_its_place(tmp_path):
    filled, counted = run(tmp_path / "cache")
    assert counted.sizes == [3, 8, 3, 1]
    assert (filled.num_encoded, filled.num_bytes) == (15, 15 * LAYOUT.num_bytes)
    for number, rows in enumerate(filled.rows):
        values = rows.read(range(LENGTHS[number])).quarter[:, 0, 0, 0]
        assert values.tolist() == [100 * number + frame for frame in range(LENGTHS[number])]


def test_what_is_there_is_not_encoded_again(tmp_path, said):
    run(tmp_path)
    filled, counted = run(tmp_path)
    assert counted.sizes == []
    assert filled.num_encoded == 0
    assert [rows.num_rows for rows in filled.rows] == list(LENGTHS)
    assert any("0 frames" in line for line in said)


def test_the_size_is_said_before_anything_is_encoded(tmp_path, said):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Counted(stop_after=0))
    # 15 frames of (12 + 32 + 64) numbers of 4 bytes
    assert any("15 frames x 0.4 kB = 6.5 kB" in line for line in said)


def test_a_stopped_filling_goes_on_with_what_is_not_whole(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Counted(stop_after=2))
    assert [path.name for path in tmp_path.glob("*.features")] == ["0.features"]
    _, counted = run(tmp_path)
    assert counted.sizes == [8, 3, 1]


def test_a_killed_filling_leaves_a_part_that_is_replaced(tmp_path):
    (tmp_path / ".1.part.features").write_bytes(b"half of it")
    filled, _ = run(tmp_path)
    names = {path.name for path in tmp_path.glob("*.features")}
    assert names == {rows.path.name for rows in filled.rows}


@pytest.mark.parametrize("damage", ["flipped", "truncated"])
def test_a_damaged_video_is_encoded_anew_and_said_once(tmp_path, said, damage):
    whole, _ = run(tmp_path)
    path = whole.rows[1].path
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content if damage == "flipped" else content[:-1])
    said.clear()
    _, counted = run(tmp_path)
    assert counted.sizes == [8, 3]
    warnings = [line for line in said if line.startswith("WARNING")]
    assert len(warnings) == 1
    assert "video_1 is encoded anew" in warnings[0]
    assert run(tmp_path)[1].sizes == []


def test_what_does_not_fit_on_the_disk_is_refused_with_both_sizes(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=6000))
    counted = Counted()
    with pytest.raises(ValueError, match=r"needs 6\.5 kB more.* 6\.0 kB free") as error:
        run(tmp_path / "new" / "cache", counted)
    assert "dataset.image_size" in str(error.value)
    assert counted.sizes == []
    assert not (tmp_path / "new").exists()


def test_what_is_there_needs_no_room(tmp_path, monkeypatch):
    run(tmp_path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=0))
    run(tmp_path)


def test_several_devices_share_the_videos(tmp_path):
    counted = [Counted(), Counted()]
    wanted = make_wanted((2,) * 12)
    filled = fill(tmp_path, wanted, LAYOUT, [Encoder(CPU, one) for one in counted])
    assert sum(len(one.sizes) for one in counted) == 12
    for number, rows in enumerate(filled.rows):
        assert rows.read([1]).quarter[0, 0, 0, 0] == 100 * number + 1


def test_an_error_on_one_of_several_devices_ends_the_filling(tmp_path):
    encoders = [Encoder(CPU, Counted(stop_after=0)), Encoder(CPU, Counted(stop_after=0))]
    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path, make_wanted((2,) * 12), LAYOUT, encoders)


def _fill_slowly(folder, log):
    def slowly(pixels):
        time.sleep(0.02)
        with Path(log).open("a") as file:
            file.write(f"{int(pixels[0, 0, 0, 0])}\n")
        return encode(pixels)

    fill(Path(folder), make_wanted((2,) * 10), LAYOUT, [Encoder(CPU, slowly)])


def test_processes_share_the_videos_and_each_ends_with_all_of_them(tmp_path):
    context = multiprocessing.get_context("fork")
    arguments = str(tmp_path / "cache"), str(tmp_path / "log")
    others = [context.Process(target=_fill_slowly, args=arguments) for _ in range(2)]
    for other in others:
        other.start()
    filled, _ = run(tmp_path / "cache", wanted=make_wanted((2,) * 10))
    for rows in filled.rows:
        assert rows.path.is_file()
    for other in others:
        other.join()
        assert other.exitcode == 0
    encoded = (tmp_path / "log").read_text().split() if (tmp_path / "log").exists() else []
    assert len(encoded) == len(set(encoded))
    assert len(encoded) + filled.num_encoded / 2 == 10


def _claim(folder, is_held, may_end):
    with Claims(Path(folder)) as claims:
        claims.take("0.features", is_waiting=False)
        is_held.set()
        may_end.wait()


def test_a_video_that_another_process_left_undone_is_encoded(tmp_path):
    context = multiprocessing.get_context("fork")
    is_held, may_end = context.Event(), context.Event()
    other = context.Process(target=_claim, args=(str(tmp_path), is_held, may_end))
    other.start()
    is_held.wait()
    counted = Counted()
    filled = fill(
        tmp_path, make_wanted()[:2], LAYOUT, [Encoder(CPU, counted_until(counted, other))]
    )
    assert counted.sizes == [8, 3, 3]
    assert filled.rows[0].path.is_file()


def counted_until(counted, other):
    """Encode, and kill a process when 11 frames are done."""

    def act(pixels):
        found = counted(pixels)
        if sum(counted.sizes) == 11:
            other.kill()
            other.join()
        return found

    return act


def test_stale_files_are_told_and_only_deleted_when_asked(tmp_path, said):
    filled, _ = run(tmp_path / "new")
    old, _ = run(tmp_path / "old", wanted=make_wanted((4,)))
    (tmp_path / "old" / "notes.txt").write_text("mine")
    stale = find_stale(tmp_path, {rows.path for rows in filled.rows})
    describe_stale(tmp_path, stale)
    assert stale.paths == (old.rows[0].path,)
    assert stale.num_bytes == old.rows[0].path.stat().st_size
    assert any("1 files, 5.8 kB" in line and "--delete-stale" in line for line in said)
    assert old.rows[0].path.is_file()
    delete_stale(stale)
    assert not old.rows[0].path.exists()
    assert (tmp_path / "old" / "notes.txt").is_file()
    assert all(rows.path.is_file() for rows in filled.rows)
