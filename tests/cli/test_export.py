"""The verb `export`, and what every verb says of files that are no checkpoints."""

import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from loguru import logger

from sam2_video.cli import main
from sam2_video.model.writing import write_meta, write_meta_yaml
from tests.model.micro import micro_model


@pytest.fixture(autouse=True)
def no_log():
    """Take away handlers of the log, which hold the standard error of an earlier test."""
    logger.remove()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Write weights, their YAML, and a folder of videos, which is never looked into."""
    folder = tmp_path_factory.mktemp("given")
    model = micro_model()
    write_meta(model.network, folder / "best_model.pth")
    write_meta_yaml(model.architecture, 64, folder / "best_model.yaml")
    (folder / "data").mkdir()
    return folder


def test_a_checkpoint_is_exported_and_the_outcome_told(folder, tmp_path, capsys):
    out = tmp_path / "x.safetensors"
    assert (
        main(["export", str(folder / "best_model.pth"), "--to", "safetensors", "--out", f"{out}"])
        == 0
    )
    assert capsys.readouterr().out == (
        f"wrote {out}: 335 of 335 tensors of micro at 64 x 64 px, read back and compared\n"
    )
    assert out.is_file()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("x.pt --to onnx --out y", "invalid choice 'onnx'"),
        ("x.pt --too meta --out y", "no such flag --too; perhaps you meant --to\n"),
        ("x.pt --form=meta", "no such flag --form"),
        ("x.pt --to meta", "--out"),
        ("--to meta --out y.pt", "CHECKPOINT"),
    ],
)
def test_wrong_usage_has_its_exit_code(arguments, says, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["export", *arguments.split()])
    assert stop.value.code == 2
    assert says in capsys.readouterr().err


class Trap:
    """Pickled, it opens a file when it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self):
        return Path.touch, (self._path,)


def write_trap(path: Path, weights: Path) -> None:
    torch.save({"model": {"x": torch.zeros(1)}, "trap": Trap(path.parent / "was_run")}, path)


def write_bare_trap(path: Path, weights: Path) -> None:
    path.write_bytes(pickle.dumps(Trap(path.parent / "was_run")))


def write_half(path: Path, weights: Path) -> None:
    content = weights.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def write_other_archive(path: Path, weights: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("thesis.txt", "not weights")


def write_text(path: Path, weights: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\n")


def write_nothing(path: Path, weights: Path) -> None:
    path.touch()


def write_other_model(path: Path, weights: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7), "fc.bias": torch.zeros(10)}, path)


def write_image_model(path: Path, weights: Path) -> None:
    state = torch.load(weights, weights_only=True)["model"]
    parts = ("image_encoder.", "sam_")
    torch.save({"model": {n: x for n, x in state.items() if n.startswith(parts)}}, path)


def write_part(path: Path, weights: Path) -> None:
    state = torch.load(weights, weights_only=True)["model"]
    del state["no_mem_embed"]
    torch.save({"model": state}, path)


BAD_FILES = {
    write_trap: "nothing in it was run (it names __builtin__ getattr",
    write_bare_trap: "not a checkpoint that torch.save wrote",
    write_half: "or only a part of one",
    write_other_archive: "not a checkpoint of plain tensors",
    write_text: "not a checkpoint that torch.save wrote",
    write_nothing: "not a checkpoint that torch.save wrote",
    write_other_model: "another model's: 2 tensors, such as conv1.weight, fc.bias",
    write_image_model: "the weights of the image model alone",
    write_part: "334 of 335 tensors match this architecture; missing 1 (no_mem_embed)",
}


def fails_with(says: str, arguments: list[str], folder: Path, capsys) -> None:
    """Check that a command line ends in one line, and leaves the folder as it is."""
    before = sorted(folder.rglob("*"))
    assert main(arguments) == 1
    lines = capsys.readouterr().err.splitlines()
    error = [line for line in lines if not line.startswith(("INFO", "WARNING"))]
    assert len(error) == 1
    assert error[0].startswith("error: ")
    assert says in error[0]
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("write", BAD_FILES, ids=lambda write: write.__name__)
def test_a_bad_file_is_one_line_and_nothing_is_run_or_written(write, folder, tmp_path, capsys):
    path = tmp_path / "x.pt"
    write(path, folder / "best_model.pth")
    out = str(tmp_path / "out" / "y.pt")
    arguments = ["export", str(path), "--to", "meta", "--out", out]
    fails_with(BAD_FILES[write], arguments, tmp_path, capsys)
    arguments = ["train", "--model-checkpoint", str(path), "--data-path", str(folder / "data")]
    arguments += ["--output-dir", str(tmp_path / "run"), "--accelerator", "cpu"]
    fails_with(BAD_FILES[write], arguments, tmp_path, capsys)


def test_a_yaml_that_names_code_is_one_line_and_nothing_is_run(folder, tmp_path, capsys):
    path = tmp_path / "evil.yaml"
    path.write_text(f'model: !!python/object/apply:os.mkdir ["{tmp_path / "was_run"}"]\n')
    says = "evil.yaml: line 1: !!python/object/apply:os.mkdir cannot be read here"
    weights = str(folder / "best_model.pth")
    out = ["--out", str(tmp_path / "out" / "y.pt")]
    arguments = ["export", weights, "--to", "meta", *out, "--config", str(path)]
    fails_with(says, arguments, tmp_path, capsys)
    arguments = ["train", "--model-checkpoint", weights, "--data-path", str(folder / "data")]
    arguments += ["--model-config", str(path), "--output-dir", str(tmp_path / "run")]
    fails_with(says, [*arguments, "--accelerator", "cpu"], tmp_path, capsys)


def test_starting_and_continuing_are_not_asked_for_together(folder, tmp_path, capsys):
    run = tmp_path / "run" / "checkpoints"
    run.mkdir(parents=True)
    (run / "last.ckpt").touch()
    weights = str(folder / "best_model.pth")
    arguments = ["--resume", str(tmp_path / "run"), "--model-checkpoint", weights]
    assert main(["train", *arguments, "--data-path", str(folder / "data")]) == 2
    assert (
        "model.checkpoint_path: a resumed run goes on with its own weights; leave "
        "--model-checkpoint out to continue it, or --resume to start a new run"
    ) in capsys.readouterr().err


def test_weights_alone_cannot_be_continued(folder, tmp_path, capsys):
    run = tmp_path / "run" / "checkpoints"
    run.mkdir(parents=True)
    (run / "last.ckpt").touch()
    (run / "best_model.pth").write_bytes((folder / "best_model.pth").read_bytes())
    arguments = ["--resume", str(run / "best_model.pth"), "--data-path", str(folder / "data")]
    says = (
        "holds weights and no training state; to start a new run from them give "
        f"--model-checkpoint in place of --resume, to continue their run give --resume {run.parent}"
    )
    fails_with(says, ["train", *arguments], tmp_path, capsys)
