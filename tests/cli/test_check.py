"""`sam2-video check` and `sam2_video.check`: text, files, pictures and exit codes."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import sam2_video
from sam2_video.cli import main
from sam2_video.data.synthetic import write_dataset
from tests.data.check.conftest import write_frame


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_dataset(tmp_path / "data", 3, 3, 6, (48, 64), (2, 2))
    return tmp_path / "data"


@pytest.fixture
def arguments(data):
    return ["check", str(data / "videos"), "--masks-path", str(data / "masks")]


def test_good_data_are_told_in_a_table_and_the_exit_code_is_0(arguments, capsys):
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    head = printed.splitlines()[0]
    assert "layout video_directory (likely: folders of frames)" in head
    rows = [line.split() for line in printed.splitlines() if line.startswith("video_0")]
    assert [row[:8] for row in rows] == [
        [f"video_00{i}", part, "6", "48x64", "100", "%", "-", "2"]
        for i, part in enumerate(["train", "val", "train"])
    ]
    assert printed.splitlines()[-1].startswith("0 errors, ")


def test_errors_are_told_in_a_line_each_and_the_exit_code_is_1(arguments, data, capsys):
    frame = sorted((data / "videos" / "video_000").iterdir())[2]
    frame.write_bytes(frame.read_bytes()[:-60])
    assert main(arguments) == 1
    printed = capsys.readouterr().out
    (line,) = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: {frame}: the image cannot be read")
    assert line.endswith("; copy or export the file again")


def test_what_is_alike_is_printed_three_times_and_whole_in_the_json(
    arguments, data, tmp_path, capsys
):
    frames = sorted((data / "videos").rglob("*.jpg"))
    damaged = [*frames[1:6], *frames[7:9]]
    for path in damaged:
        path.write_bytes(b"")
    odd = frames[9]
    write_frame(odd, 0, 0, (20, 20))
    assert main([*arguments, "--json", str(tmp_path / "all.json")]) == 1
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert "error: ... and 4 more like this (frame that cannot be used)" in lines
    assert sum(str(odd) in line for line in lines) == 1
    content = json.loads((tmp_path / "all.json").read_text())
    errors = [one for one in content["findings"] if one["grade"] == "error"]
    assert len(errors) == 8
    assert {one["file"] for one in errors} == set(map(str, [*damaged, odd]))
    assert content["has_errors"]


def test_pictures_and_report_are_written_to_a_folder(arguments, tmp_path, capsys):
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "check.json",
        "mosaic.png",
        "timeline.png",
    ]
    picture = np.array(Image.open(tmp_path / "out" / "mosaic.png"))
    # the first object's orange is there, and it is not all white
    assert (np.abs(picture.astype(int) - (230, 159, 0)).sum(-1) < 8).sum() > 200
    assert "wrote check.json, mosaic.png, timeline.png to" in capsys.readouterr().out


def test_a_video_with_a_broken_mask_is_drawn_without_its_frame(arguments, data, tmp_path):
    masks = data / "masks" / "video_001"
    path = sorted(masks.iterdir())[2]
    path.write_bytes(path.read_bytes()[:-30])
    assert main([*arguments, "--out", str(tmp_path / "broken")]) == 1
    path.unlink()
    assert main([*arguments, "--out", str(tmp_path / "missing")]) == 0
    for name in ("mosaic.png", "timeline.png"):
        broken, missing = (
            np.array(Image.open(tmp_path / out / name)) for out in ("broken", "missing")
        )
        assert np.array_equal(broken, missing)


def test_data_that_cannot_be_read_at_all_still_give_a_report(tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["check", str(tmp_path / "nowhere"), "--out", str(out)]) == 1
    printed = capsys.readouterr().out
    assert "nothing that can be read" in printed
    assert "does not exist; correct dataset.data_path" in printed
    assert [path.name for path in out.iterdir()] == ["check.json"]


def test_without_data_the_usage_is_wrong(capsys):
    assert main(["check"]) == 2
    assert "no data are named; give sam2-video check DATA" in capsys.readouterr().err


def test_names_cannot_break_the_table_or_the_terminal(data, capsys):
    odd = "one\n\x1b[31mtwo\udcff"
    for tree in ("videos", "masks"):
        (data / tree / "video_000").rename(data / tree / odd)
    assert main(["check", str(data / "videos"), "--masks-path", str(data / "masks")]) == 0
    assert r"one\n\x1b[31mtwo\udcff " in capsys.readouterr().out


def test_a_configuration_gives_all_data_sets_and_flags_stand_above_it(data, tmp_path, capsys):
    config = tmp_path / "run.yaml"
    config.write_text(
        f"dataset:\n  data_path: {data / 'coco.json'}\n  image_size: [128, 128]\n"
        f"  more:\n    - {{data_path: {data / 'videos'}, masks_path: {data / 'masks'}}}\n"
    )
    assert main(["check", "--config", str(config), "--image-size", "256", "256"]) == 0
    printed = capsys.readouterr().out
    assert printed.count(": layout ") == 2
    assert "sides at 256 x 256 px" in printed


def test_wrong_settings_are_wrong_usage(arguments, capsys):
    assert main([*arguments, "--format", "davos", "--image-size", "100", "100"]) == 2
    told = capsys.readouterr().err
    assert "dataset.format" in told
    assert "dataset.image_size" in told


def test_python_has_the_same(data):
    report = sam2_video.check(data / "coco.json", image_size=(128, 128), num_processes=1)
    assert report.image_size == (128, 128)
    assert report.sets[0].layout == "coco"
    with pytest.raises(ValueError, match="no such key; perhaps you meant image_size"):
        sam2_video.check(data / "coco.json", imagesize=(128, 128))


def test_help_is_there_without_torch(tmp_path):
    program = (
        "import sys; from sam2_video.cli import main\n"
        "try: main(['check', '--help'])\n"
        "except SystemExit: sys.exit(bool({'torch', 'cv2', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0
    assert b"--masks-path" in done.stdout
