"""A run goes on without Weights & Biases that is away, hangs, or breaks off; resumed, it is one."""

import os
import subprocess
import sys

import pytest

from sam2_video.configuration import save
from sam2_video.files import read_numbers

PACKAGE = {
    "wandb-0.20.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: wandb\nVersion: 0.20.0\n",
    "wandb/sdk/__init__.py": "",
    "wandb/sdk/lib/__init__.py": "class RunDisabled: pass",
    "wandb/wandb_run.py": """
import os
class Run:
    def __init__(self):
        self.num_logged = 0
    def define_metric(self, *args, **kwargs):
        pass
    def log(self, values):
        self.num_logged += 1
        if os.environ["STUB"] == "drops" and self.num_logged > 2:
            raise ConnectionResetError("the service is gone")
""",
    "wandb/__init__.py": """
import os, time
from wandb.wandb_run import Run
class Error(Exception): pass
run = None
def init(**settings):
    if os.environ["STUB"] == "raises":
        raise Error("no route to host")
    if os.environ["STUB"] == "hangs":
        time.sleep(1000)
    with open(os.environ["STUB_IDS"], "a") as file:
        file.write(f"{settings['id']} {settings['resume']}\\n")
    return Run()
""",
}
"""The part of the package that Lightning's logger touches, and its faults."""
RUNS = """
import os, sys
from dataclasses import replace
from pathlib import Path
from sam2_video.configuration import load_config
from sam2_video.training import wandb_log
from sam2_video.training.run import train

wandb_log.SECONDS_TO_ANSWER = 1.0
folder = Path(sys.argv[1])
config = load_config(folder / "config.yaml")
for fault in ("raises", "hangs", "drops"):
    os.environ["STUB"] = fault
    train(replace(config, output_dir=str(folder / fault)))
os.environ["STUB"] = "works"
dropped = str(folder / "drops")
longer = replace(config.trainer, max_epochs=2)
train(replace(config, output_dir=dropped, resume=dropped, trainer=longer))
"""


@pytest.fixture(scope="module")
def folder(configure, tmp_path_factory):
    path = tmp_path_factory.mktemp("wandb")
    for name, text in PACKAGE.items():
        (path / "stub" / name).parent.mkdir(parents=True, exist_ok=True)
        (path / "stub" / name).write_text(text)
    save(configure(path, trainer__max_epochs=1, use_wandb=True), path / "config.yaml")
    environment = os.environ | {
        "PYTHONPATH": f"{path / 'stub'}:{os.environ.get('PYTHONPATH', '')}",
        "WANDB_API_KEY": "key",
        "STUB_IDS": str(path / "ids"),
    }
    line = [sys.executable, "-c", RUNS, str(path)]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return path


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("raises", "W&B cannot be reached (no route to host)"),
        ("hangs", "W&B has not answered in 1 s"),
        ("drops", "W&B is lost (the service is gone)"),
    ],
)
def test_a_run_goes_on_without_wandb_and_says_so_once(fault, said, folder):
    assert (folder / fault / "train.log").read_text().count(said) == 1
    assert len(read_numbers(folder / fault / "metrics.csv")) >= 5
    assert list((folder / fault / "tensorboard").glob("events*"))
    assert (folder / fault / "training_metrics.json").is_file()


def test_a_resumed_run_goes_on_on_its_own_page(folder):
    first, second = (folder / "ids").read_text().splitlines()
    assert first == second
    assert first.endswith(" allow")
