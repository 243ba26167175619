"""An evaluation goes on where it was broken off, and is shared by several processes."""

import json
import shutil
import signal
import socket
import subprocess
import sys

import pytest

from sam2_video import SAM2Model
from sam2_video.evaluation import processes
from sam2_video.model.writing import write_meta
from tests.evaluation.conftest import NAMES, numbers
from tests.made_up import MadeUpVideo


def test_finished_videos_are_not_evaluated_again(evaluated, whole, tmp_path, monkeypatch):
    out = shutil.copytree(whole.out, tmp_path / "out")
    (out / "videos/video_001.json").unlink()
    (out / "scores.json").unlink()
    tracked = []
    original = processes.evaluate_one

    def watched(model, video, job):
        tracked.append(video.video_id)
        return original(model, video, job)

    monkeypatch.setattr(processes, "evaluate_one", watched)
    again = evaluated(out=out, save_masks=True)
    assert tracked == ["video_001"]
    assert numbers(again.report) == numbers(whole.report)
    assert (out / "scores.json").is_file()


KILLED = """
import os, signal, sys
from sam2_video.cli import main
from sam2_video.evaluation import run
keep = run.keep_video
def deadly(*args):
    keep(*args)
    os.kill(os.getpid(), signal.SIGKILL)
run.keep_video = deadly
main(sys.argv[1:])
"""


def test_a_killed_evaluation_goes_on(data, checkpoint, evaluated, whole, tmp_path):
    arguments = f"evaluate {checkpoint} --data-path {data}/videos --masks-path {data}/masks "
    arguments += f"--image-size 64 64 --out {tmp_path}/out --save-masks"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments.split()], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert [p.name for p in (tmp_path / "out/videos").iterdir()] == ["video_000.json"]
    again = evaluated(out=tmp_path / "out", save_masks=True)
    assert numbers(again.report) == numbers(whole.report)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"prompt": "point"}, "prompt: mask there, point now"),
        ({"image_size": (32, 64)}, r"image_size: \[64, 64\] there, \[32, 64\] now"),
        ({"layout": "objects"}, "layout: auto there, objects now"),
        ({"save_masks": False}, "has_masks: True there, False now"),
    ],
)
def test_a_folder_of_other_settings_is_refused(evaluated, whole, changed, message):
    with pytest.raises(ValueError, match=rf"{message}.*give another --out"):
        evaluated(**({"out": whole.out, "save_masks": True} | changed))


def test_other_weights_of_the_same_name_are_refused(evaluated, whole, checkpoint, tmp_path):
    path = tmp_path / checkpoint.name
    write_meta(SAM2Model.load(None, "micro", (64, 64), seed=4).network, path)
    with pytest.raises(ValueError, match="weights: "):
        evaluated(checkpoint=path, out=whole.out, save_masks=True)


def test_a_folder_that_holds_something_else_is_refused(evaluated, tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(ValueError, match="no evaluation; give another --out"):
        evaluated(out=tmp_path)
    with pytest.raises(ValueError, match="give --out"):
        evaluated(save_masks=True)


def test_several_processes_share_the_videos(evaluated, whole, tmp_path):
    shared = evaluated(processes=2, out=tmp_path / "out", save_masks=True)
    assert numbers(shared.report) == numbers(whole.report)
    assert sorted(p.stem for p in (tmp_path / "out/videos").iterdir()) == NAMES
    for path in (whole.out / "masks").rglob("*.png"):
        other = tmp_path / "out/masks" / path.relative_to(whole.out / "masks")
        assert other.read_bytes() == path.read_bytes()


def test_the_processes_of_torchrun_share_the_videos(data, checkpoint, whole, tmp_path):
    program = "import sys; from sam2_video.cli import main; sys.exit(main())"
    (tmp_path / "program.py").write_text(program)
    launch = f"-m torch.distributed.run --nproc-per-node 2 --master-port {free_port()}"
    arguments = f"{tmp_path}/program.py evaluate {checkpoint} --data-path {data}/videos "
    arguments += f"--masks-path {data}/masks --image-size 64 64 --out {tmp_path}/out --save-masks"
    done = subprocess.run(
        [sys.executable, *launch.split(), *arguments.split()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == (whole.out / "scores.txt").read_text()
    content = json.loads((tmp_path / "out/scores.json").read_text())
    assert content["overall"] == whole.report.as_dict()["overall"]


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_videos_are_dealt_out_by_their_length():
    class OfLength(MadeUpVideo):
        num_frames = None

    videos = [OfLength({}) for _ in range(5)]
    for video, length in zip(videos, (1, 9, 5, 5, 2), strict=True):
        video.num_frames = length
    shares = [[v.num_frames for v in processes.share_out(videos, rank, 2)] for rank in (0, 1)]
    assert shares == [[9, 2], [5, 5, 1]]
