"""`sam2-video evaluate`: what it prints and writes, and what its exit code says."""

import json
from pathlib import Path

import pytest

from sam2_video.cli import main
from sam2_video.data.synthetic import write_dataset

CHECKPOINT = Path(__file__).parents[2] / "demo/micro.pt"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated") / "data"
    write_dataset(folder, 4, num_videos=2, num_frames=4, size=(48, 64), num_objects=(1, 2))
    return folder


@pytest.fixture
def flags(data):
    text = f"evaluate {CHECKPOINT} --data-path {data}/videos --masks-path {data}/masks"
    return f"{text} --image-size 64 64".split()


def test_the_table_is_printed_and_the_files_hold_the_same(flags, tmp_path, capsys):
    files = f"--json {tmp_path}/a.json --csv {tmp_path}/a.csv --out {tmp_path}/out".split()
    assert main([*flags, *files]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].split()[:5] == ["video", "object", "J&F", "J", "F"]
    assert printed == (tmp_path / "out/scores.txt").read_text()
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "out/scores.csv").read_text()
    content = json.loads((tmp_path / "a.json").read_text())
    assert content == json.loads((tmp_path / "out/scores.json").read_text())
    assert list(content["videos"]) == ["video_000", "video_001"]
    assert f"{100 * content['overall']['JF']:.1f}" in printed.splitlines()[1]


def test_a_video_that_was_left_out_is_a_line_and_an_exit_code(flags, data, capsys):
    (data / "videos/empty").mkdir()
    assert main([*flags, "--prompt", "point", "--num-points", "2"]) == 1
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("left out: ")]
    assert len(lines) == 1
    assert lines[0].startswith("left out: video empty: ")
    assert "video_001" in captured.out
    (data / "videos/empty").rmdir()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--videos", "video_01"], "perhaps you meant video_0"),
        (["--save-masks"], "give --out"),
        (["--max-objects", "0"], "max_objects: got 0"),
        (["--clicks", "2"], "clicks: got 2 with mask prompts; expected 0"),
        (["--clicks", "-1", "--prompt", "box"], "clicks: got -1; expected 0 or more"),
    ],
)
def test_what_cannot_be_is_a_line_of_error(flags, more, message, capsys):
    assert main([*flags, *more]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error


def test_a_missing_checkpoint_is_a_line_of_error(flags, capsys):
    flags[1] = "nowhere.pt"
    assert main(flags) == 1
    assert (
        "error: model.checkpoint_path: no file or folder at nowhere.pt" in capsys.readouterr().err
    )


def test_an_unknown_flag_is_named_with_the_nearest(flags, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([*flags, "--num-point", "2"])
    assert "perhaps you meant --num-points" in capsys.readouterr().err
