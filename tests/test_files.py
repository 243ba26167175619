"""Files are written whole or not at all, and tables read back as they were."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sam2_video.files import read_numbers, remove_parts, whole, write_json, write_rows, write_text


def test_a_new_folder_takes_an_old_ones_place(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "old").touch()
    with whole(tmp_path / "one") as part:
        part.mkdir()
        (part / "new").touch()
    assert [str(x.relative_to(tmp_path)) for x in tmp_path.rglob("*")] == ["one", "one/new"]
    with pytest.raises(FileExistsError), whole(tmp_path / "one") as part:  # noqa: PT012
        part.mkdir()
        part.mkdir()
    assert [str(x.relative_to(tmp_path)) for x in tmp_path.rglob("*")] == ["one", "one/new"]


@pytest.mark.parametrize("name", ["report.html", "new/report.html"])
def test_text_is_written_with_its_folder_and_nothing_else(name, tmp_path):
    write_text(tmp_path / name, "one")
    write_text(tmp_path / name, "two\n")
    assert (tmp_path / name).read_bytes() == b"two\n"
    assert [x.name for x in (tmp_path / name).parent.iterdir()] == ["report.html"]


def test_after_an_error_the_old_text_stays_and_no_part_of_the_new(tmp_path, monkeypatch):
    path = tmp_path / "scores.json"
    write_text(path, "old")

    def fail(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "new")
    with pytest.raises(OSError, match="No space left"), whole(path) as part:
        part.write_text("new")
    assert path.read_text() == "old"
    assert [x.name for x in tmp_path.iterdir()] == ["scores.json"]


def test_text_goes_into_a_pipe_as_it_is():
    code = (
        "from pathlib import Path; from sam2_video.files import write_text; "
        "write_text(Path('/dev/stdout'), 'text')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"text"


def test_json_knows_no_numbers_that_are_none(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"a": [math.nan, (1.5, {"b": math.inf})], "path": Path("x/y")})
    assert json.loads(path.read_text()) == {"a": [None, [1.5, {"b": None}]], "path": "x/y"}


def test_a_table_reads_back_without_the_values_it_lacks(tmp_path):
    rows = [{"step": 1, "loss": 0.1}, {"step": 2, "J": 1 / 3}]
    write_rows(tmp_path / "x.csv", rows, ["step", "loss", "J"])
    assert (tmp_path / "x.csv").read_text().splitlines()[:2] == ["step,loss,J", "1,0.1,"]
    assert read_numbers(tmp_path / "x.csv") == rows
    assert read_numbers(tmp_path / "none.csv") == []


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
    path = tmp_path / "x.csv"
    write_rows(path, [{"step": 1, "loss": 0.125}, {"step": 2, "loss": 0.375}], ["step", "loss"])
    path.write_text(path.read_text()[:-3])
    assert read_numbers(path) == [{"step": 1, "loss": 0.125}]


def test_what_a_killed_process_had_begun_is_removed(tmp_path):
    for name in (".last.part.ckpt", ".x.csv.123.part", "last.ckpt", ".lock"):
        (tmp_path / name).touch()
    remove_parts(tmp_path)
    assert sorted(x.name for x in tmp_path.iterdir()) == [".lock", "last.ckpt"]


def test_no_room_is_told_with_what_was_needed(tmp_path):
    code = (
        "import resource, sys; from pathlib import Path; from sam2_video.files import whole\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    with whole(Path(sys.argv[1]), 250_000) as part: part.write_bytes(bytes(250_000))\n"
        "except OSError as error: print(error)"
    )
    path = tmp_path / "big"
    line = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(line, capture_output=True, check=True, text=True)
    assert "File too large: it takes 0.25 MB, there is room for 0.10 MB" in done.stdout
    assert str(path) in done.stdout
    assert list(tmp_path.iterdir()) == []
