"""The verbs, and `train` in this process and as a user starts it."""

import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from sam2_video.cli import main
from sam2_video.cli.train import SHORT_FLAGS
from sam2_video.config import TrainConfig
from sam2_video.configuration import KEYS, flatten, load_config

ROOT = Path(__file__).parents[2]


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """Stand in for training, in an empty folder with a folder of data; keep what it was given."""
    configs = []
    run = ModuleType("sam2_video.training.run")
    result = SimpleNamespace(stopped_by=None)
    run.__dict__["train"] = lambda config: configs.append(config) or result
    monkeypatch.setitem(sys.modules, "sam2_video.training", ModuleType("sam2_video.training"))
    monkeypatch.setitem(sys.modules, "sam2_video.training.run", run)
    stopping = ModuleType("sam2_video.training.stopping")
    stopping.__dict__["SIGNALLED"] = 128
    monkeypatch.setitem(sys.modules, "sam2_video.training.stopping", stopping)
    monkeypatch.chdir(tmp_path)
    Path("videos").mkdir()
    return configs


def fails(capsys, arguments):
    """Return the lines of errors of a command line that must be refused."""
    assert main(["train", *shlex.split(arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return [line.strip() for line in captured.err.splitlines() if line.startswith("  ")]


def values_of(trained, arguments):
    """Return the values that differ from the defaults after a valid command line."""
    assert main(["train", "--data-path", "videos", *shlex.split(arguments)]) == 0
    defaults = flatten(TrainConfig())
    values = flatten(trained.pop())
    assert values.pop("dataset.data_path") == "videos"
    return {path: value for path, value in values.items() if value != defaults[path]}


def test_flags_reach_training_with_their_types(trained):
    Path("tiny.pt").touch()
    arguments = (
        "--model-checkpoint tiny.pt --model-config sam2.1_hiera_t.yaml --lr 1e-5 --max-epochs 3 "
        "--batch-size 2 --seed 7 --output-dir out --accelerator cpu --devices 4 "
        "--precision 32-true --debug --no-wandb --dataset.image-size 256 320 "
        "--losses.focal_alpha -1 --model.trainable-modules memory_attention memory_*"
    )
    assert values_of(trained, arguments) == {
        "model.checkpoint_path": "tiny.pt",
        "model.config_path": "sam2.1_hiera_t.yaml",
        "model.trainable_modules": ["memory_attention", "memory_*"],
        "dataset.image_size": [256, 320],
        "dataset.batch_size": 2,
        "losses.focal_alpha": -1.0,
        "trainer.lr": 1e-5,
        "trainer.max_epochs": 3,
        "trainer.accelerator": "cpu",
        "trainer.devices": 4,
        "trainer.precision": "32-true",
        "output_dir": "out",
        "seed": 7,
        "debug": True,
        "use_wandb": False,
    }


@pytest.mark.parametrize("spelling", ["short", "short_", "nested", "nested_"])
def test_a_short_flag_is_its_nested_key_with_dashes_or_underscores(trained, spelling):
    Path("64").mkdir()
    values = dict.fromkeys(SHORT_FLAGS, "64")
    values |= {"trainer.accelerator": "cpu", "trainer.precision": "32-true"}
    arguments = []
    for path, value in values.items():
        name = SHORT_FLAGS[path].removeprefix("--") if "short" in spelling else path
        name = name.replace("-", "_") if spelling.endswith("_") else name.replace("_", "-")
        arguments += [f"--{name}", value]
    assert main(["train", *arguments]) == 0
    trained_values = flatten(trained.pop())
    expected = values | dict.fromkeys(
        ["dataset.batch_size", "trainer.lr", "trainer.max_epochs", "trainer.devices"], 64
    )
    assert {path: trained_values[path] for path in SHORT_FLAGS} == expected


def test_every_key_is_a_flag(trained):
    flags = []
    for path, key in KEYS.items():
        default = key.default if isinstance(key.default, list) else [key.default]
        texts = ["null" if value is None else str(value) for value in default]
        if path == "dataset.data_path":
            texts = ["videos"]
        if key.type is not bool:
            flags += [f"--{path.replace('_', '-')}", *texts]
    assert values_of(trained, shlex.join(flags)) == {}


@pytest.mark.parametrize(
    ("arguments", "changed"),
    [
        ("--lr=1e-3", {"trainer.lr": 1e-3}),
        ("--lr 1 --trainer.lr 2", {"trainer.lr": 2.0}),
        ("--devices auto", {}),
        ("--dataset.image-size [64,96]", {"dataset.image_size": [64, 96]}),
        ("--dataset.colour-palette [[1,2,3]]", {"dataset.colour_palette": [[1, 2, 3]]}),
        ("--trainer.max-steps -1", {}),
        ("--wandb-project 2024", {"wandb_project": "2024"}),
        ("--no-use-wandb", {"use_wandb": False}),
        ("--use-wandb --no-debug", {}),
    ],
)
def test_spellings_of_values(trained, arguments, changed):
    assert values_of(trained, arguments) == changed


def test_the_command_line_overrides_the_file_and_the_file_the_defaults(trained):
    Path("run.yaml").write_text(
        "trainer: {lr: 1e-3, max_epochs: 9}\ndebug: true\nuse_wandb: false\n"
        "dataset: {val_path: videos}\nmodel: {trainable_modules: [all]}\n"
    )
    changed = values_of(
        trained,
        "--config run.yaml --lr 5e-4 --no-debug --use-wandb --dataset.val-path null",
    )
    assert changed == {
        "trainer.lr": 5e-4,
        "trainer.max_epochs": 9,
        "model.trainable_modules": ["all"],
    }


def test_errors_of_file_and_flags_come_together(trained, capsys):
    Path("run.yaml").write_text("trainer:\n  max_epoch: 3\ndataset:\n  batch_size: none\n")
    lines = fails(
        capsys,
        "--config run.yaml --lr fast --max-epoch 4 --trainer.batch-size 2 --devices 2 3 "
        "--no-wandb --use-wandb --seed --model-checkpoint gone.pt",
    )
    starts = [
        "--max-epoch: no such flag; perhaps you meant --max-epochs [command line]",
        "--trainer.batch-size: no such flag; perhaps you meant --dataset.batch-size",
        "seed: --seed needs a value; expected a whole number >= 0",
        "use_wandb: got both --use-wandb and --no-wandb",
        "trainer.max_epoch: no such key; perhaps you meant trainer.max_epochs [run.yaml, line 2]",
        "dataset.batch_size: got 'none'; expected a whole number >= 1 or auto [run.yaml, line 4]",
        "trainer.lr: got 'fast'; expected a number > 0 [command line, --lr]",
        "trainer.devices: got ['2', '3']; expected a whole number >= 1 or auto",
        "dataset.data_path: got null; expected a folder or a COCO file; give --data-path DIR",
        "model.checkpoint_path: got 'gone.pt', which does not exist",
    ]
    assert len(lines) == len(starts)
    for start in starts:
        assert any(line.startswith(start) for line in lines), start
    assert trained == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("videos", "videos: stands alone"),
        ("--lrr 3", "--lrr: no such flag; perhaps you meant --lr"),
        ("--confg=x.yaml", "--confg: no such flag; perhaps you meant --config"),
        ("--debug=yes", "yes: stands alone"),
        ("--config", "--config: got 0 values; expected one YAML file"),
        ("--config none.yaml", "none.yaml: no such file"),
        ("--data-path ''", "dataset.data_path: got ''"),
    ],
)
def test_wrong_usage_is_told_in_a_line(trained, capsys, arguments, says):
    assert any(line.startswith(says) for line in fails(capsys, arguments))


def test_the_sample_is_read_back_and_never_overwritten(trained, capsys):
    assert main(["train", "--create-config"]) == 0
    assert "wrote sample_config.yaml" in capsys.readouterr().out
    assert load_config(Path("sample_config.yaml")) == TrainConfig()
    assert values_of(trained, "--config sample_config.yaml") == {}
    capsys.readouterr()
    assert fails(capsys, "--create-config --lr 1") == [
        "sample_config.yaml: is already there; move or delete it, then ask again"
    ]
    assert load_config(Path("sample_config.yaml")) == TrainConfig()


def test_the_sample_holds_what_the_other_flags_say(trained):
    assert main(["train", "--create-config", "--data-path", "later", "--lr", "1e-3"]) == 0
    config = load_config(Path("sample_config.yaml"))
    assert (config.dataset.data_path, config.trainer.lr) == ("later", 1e-3)
    assert trained == []


@pytest.mark.parametrize("error", [ValueError("bad mask"), FileNotFoundError("bad mask")])
def test_an_error_of_a_run_is_one_line_unless_debugging(trained, capsys, monkeypatch, error):
    def train(config):
        raise error

    monkeypatch.setattr(sys.modules["sam2_video.training.run"], "train", train)
    assert main(["train", "--data-path", "videos"]) == 1
    assert capsys.readouterr().err == "error: bad mask (--debug shows where)\n"
    with pytest.raises(type(error), match="bad mask"):
        main(["train", "--data-path", "videos", "--debug"])


def test_a_fault_of_ours_keeps_its_traceback_and_ctrl_c_its_code(trained, monkeypatch):
    def crash(config):
        raise RuntimeError("ours")

    def interrupt(config):
        raise KeyboardInterrupt

    run = sys.modules["sam2_video.training.run"]
    monkeypatch.setattr(run, "train", crash)
    with pytest.raises(RuntimeError, match="ours"):
        main(["train", "--data-path", "videos"])
    monkeypatch.setattr(run, "train", interrupt)
    assert main(["train", "--data-path", "videos"]) == 130


def test_verbs(capsys):
    assert main([]) == 0
    overview = capsys.readouterr().out
    assert "usage: sam2-video VERB" in overview
    assert "  train " in overview
    assert main(["trian"]) == 2
    assert "no verb 'trian'; perhaps you meant train; there is: train" in capsys.readouterr().err


def test_help_names_every_flag_of_the_contract_and_every_key(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", "--help"])
    assert stop.value.code == 0
    page = capsys.readouterr().out
    asked = (
        "--config --create-config --debug --seed --output-dir --model-checkpoint --model-config "
        "--data-path --batch-size --lr --max-epochs --accelerator --devices --precision "
        "--no-wandb --resume"
    )
    for flag in [*asked.split(), *(f"--{path.replace('_', '-')}" for path in KEYS)]:
        assert f"{flag} " in page or f"{flag}," in page, flag


HELP_WITHOUT_TORCH = """
import sys
from sam2_video.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as stop:
    code = stop.code
heavy = {"torch", "lightning", "transformers", "numpy", "cv2"} & set(sys.modules)
sys.exit(f"imported {sorted(heavy)}" if heavy else code)
"""


@pytest.mark.parametrize("verb", ["train", "evaluate", "export", None])
def test_help_imports_no_torch(verb, tmp_path):
    arguments = [verb, "--help"] if verb else ["--help"]
    done = subprocess.run(
        [sys.executable, "-c", HELP_WITHOUT_TORCH, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


def test_the_root_script_takes_the_same_flags(tmp_path):
    script = [sys.executable, str(ROOT / "train.py")]
    made = subprocess.run(
        [*script, "--create-config"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    assert "python train.py --config sample_config.yaml" in made.stdout
    refused = subprocess.run(
        [*script, "--config", "sample_config.yaml", "--lr", "fast"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    assert "trainer.lr: got 'fast'" in refused.stderr
    assert "dataset.data_path: got null" in refused.stderr
    assert "Traceback" not in refused.stderr
