"""`sam2-video score`: its table, files, lines and exit codes."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sam2_video.cli import main


@pytest.fixture
def folders(tmp_path):
    labels = np.zeros((8, 8), dtype=np.uint8)
    labels[2:6, 2:6] = 1
    for side in ("truth", "predictions"):
        for video in ("one", "two"):
            folder = tmp_path / side / video
            folder.mkdir(parents=True)
            for index in range(3):
                Image.fromarray(labels).save(folder / f"{index}.png")
    return [
        "score",
        "--truth",
        str(tmp_path / "truth"),
        "--predictions",
        str(tmp_path / "predictions"),
    ]


def test_it_prints_a_table_and_writes_files(folders, tmp_path, capsys):
    files = ["--json", str(tmp_path / "a.json"), "--csv", str(tmp_path / "a.csv")]
    assert main([*folders, *files]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    head, overall, *rest = printed.out.splitlines()
    assert head.split()[:5] == ["video", "object", "J&F", "J", "F"]
    assert overall.split()[:4] == ["all", "videos", "100.0", "100.0"]
    assert [line.split()[0] for line in rest] == ["one", "one", "two", "two"]
    assert json.loads((tmp_path / "a.json").read_text())["overall"]["JF"] == 1.0
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 6


def test_a_left_out_video_is_told_in_a_line_and_the_exit_code(folders, tmp_path, capsys):
    (tmp_path / "predictions" / "two" / "1.png").unlink()
    assert main(folders) == 1
    printed = capsys.readouterr()
    assert "all videos" in printed.out
    (line,) = printed.err.splitlines()
    assert line.startswith("left out: video two: ")
    assert main([*folders, "--missing", "empty"]) == 0
    assert capsys.readouterr().err.startswith("note: video two: ")


def test_a_wrong_folder_is_an_error_in_a_line(folders, tmp_path, capsys):
    folders[2] = str(tmp_path / "nowhere")
    assert main(folders) == 1
    assert "no such folder of truth; correct --truth" in capsys.readouterr().err


def test_an_unknown_protocol_is_wrong_usage(folders):
    with pytest.raises(SystemExit) as stop:
        main([*folders, "--protocol", "mose"])
    assert stop.value.code == 2


def test_help_is_there_without_torch(tmp_path):
    program = (
        "import sys; from sam2_video.cli import main\n"
        "try: main(['score', '--help'])\n"
        "except SystemExit: sys.exit(bool({'torch', 'cv2', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0
    assert b"--predictions" in done.stdout
