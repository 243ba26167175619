"""Checkpoints in the forms of other tools, which read them: bit for bit, whole or not at all."""

import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from sam2_video import export
from sam2_video.model.architecture import MICRO, build_network
from sam2_video.model.checkpoint import read_weights
from sam2_video.model.export import Exported
from sam2_video.model.facts import ModelFacts
from sam2_video.model.initialise import initialise
from sam2_video.model.keymap import to_meta
from sam2_video.model.meta_yaml import MetaModel, read_meta_yaml
from sam2_video.model.sam2 import SAM2Model
from sam2_video.model.writing import write_meta, write_meta_yaml
from tests.model.micro import micro_model

FORMS = {"meta": "x.pt", "transformers": "x", "safetensors": "x.safetensors"}


@pytest.fixture(scope="module")
def model() -> SAM2Model:
    return micro_model()


@pytest.fixture
def source(model, tmp_path) -> Path:
    """Write weights and YAML as a run leaves them."""
    path = tmp_path / "source" / "best_model.pth"
    write_meta(model.network, path)
    write_meta_yaml(model.architecture, 96, path.with_suffix(".yaml"))
    return path


def assert_equal_bits(state: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert state.keys() == expected.keys()
    for name, tensor in expected.items():
        assert state[name].dtype == tensor.dtype, name
        assert torch.equal(state[name], tensor), name


@pytest.mark.parametrize("path", list(itertools.permutations(FORMS)))
def test_every_way_round_ends_with_the_same_bits_and_facts(path, source, model, tmp_path):
    here = source
    for number, form in enumerate(path):
        out = tmp_path / str(number) / FORMS[form]
        done = export(here, form, out)
        assert done.facts == ModelFacts(MICRO, (96, 96))
        here = out
    assert_equal_bits(read_weights(str(here)).for_network(), model.network.state_dict())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_stays_what_it_is(form, kind, model, tmp_path):
    state = {name: x.to(kind) for name, x in model.network.state_dict().items()}
    torch.save({"model": to_meta(state)}, tmp_path / "half.pt")
    export(tmp_path / "half.pt", form, tmp_path / FORMS[form], image_size=(64, 64))
    assert_equal_bits(read_weights(str(tmp_path / FORMS[form])).for_network(), state)


def test_meta_form_is_metas_own(source, model, tmp_path):
    done = export(source, "meta", tmp_path / "x.pt")
    assert done == Exported(
        (tmp_path / "x.pt", tmp_path / "x.yaml"), ModelFacts(MICRO, (96, 96)), 335
    )
    content = torch.load(tmp_path / "x.pt", weights_only=True)
    assert list(content) == ["model"]
    assert_equal_bits(content["model"], to_meta(model.network.state_dict()))
    assert read_meta_yaml(tmp_path / "x.yaml") == MetaModel(MICRO, 96)


def test_one_file_tells_its_architecture_and_size(source, tmp_path):
    export(source, "safetensors", tmp_path / "x.safetensors", image_size=(64, 96))
    assert read_weights(str(tmp_path / "x.safetensors")).facts == ModelFacts(MICRO, (64, 96))
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        assert json.loads(file.metadata()["sam2_video"])["image_size"] == [64, 96]


@pytest.mark.parametrize("form", ["meta", "transformers"])
def test_frames_that_are_no_squares_are_refused_where_the_form_cannot_say_them(
    form, source, tmp_path
):
    with pytest.raises(ValueError, match=r"image_size: got \[64, 96\]; .*square.*--to safetensors"):
        export(source, form, tmp_path / FORMS[form], image_size=(64, 96))
    assert not (tmp_path / FORMS[form]).exists()


def test_the_image_size_is_the_runs(source, tmp_path):
    # beside weights without a YAML of their own, as for frames that are no squares
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.yaml").write_text("dataset: {image_size: [64, 128]}\n")
    weights = run / "checkpoints" / "best_model.pth"
    weights.write_bytes(source.read_bytes())
    done = export(weights, "safetensors", tmp_path / "x.safetensors")
    assert done.facts.image_size == (64, 128)


def test_weights_that_do_not_tell_their_size_are_taken_as_metas(source, tmp_path):
    source.with_suffix(".yaml").write_text("trainer: {another: tool}\n")
    done = export(source, "safetensors", tmp_path / "x.safetensors")
    assert done.facts.image_size == (1024, 1024)


def test_an_architecture_of_ones_own_goes_the_whole_way(tmp_path):
    own = replace(MICRO, name="own", blocks_per_stage=(1, 2, 2, 1), memory_layers=1)
    network = build_network(own, (64, 64))
    initialise(network, seed=0)
    write_meta(network, tmp_path / "a" / "own.pth")
    with pytest.raises(ValueError, match=r"a SAM 2 of 6 blocks, 16 channels .*give Meta's YAML"):
        export(tmp_path / "a" / "own.pth", "meta", tmp_path / "x.pt")
    write_meta_yaml(own, 64, tmp_path / "b" / "own.yaml")
    export(tmp_path / "a" / "own.pth", "meta", tmp_path / "own.pt", tmp_path / "b" / "own.yaml")
    export(tmp_path / "own.pt", "transformers", tmp_path / "x")
    again = SAM2Model.load(str(tmp_path / "x"), image_size=(64, 64))
    assert again.architecture == own
    assert_equal_bits(dict(again.network.state_dict()), dict(network.state_dict()))


def test_another_models_weights_are_refused_and_nothing_is_written(source, tmp_path):
    with pytest.raises(ValueError, match=r"of 471 tensors match this architecture; missing"):
        export(source, "meta", tmp_path / "x.pt", config="sam2.1-tiny")
    assert [x.name for x in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize(
    ("form", "out", "says"),
    [
        ("onnx", "x", r"to: got 'onnx'; expected one of meta, transformers, safetensors"),
        ("meta", "x.safetensors", r"--to meta writes a file such as model\.pt"),
        ("meta", "x", r"--to meta writes a file"),
        ("safetensors", "x.pt", r"--to safetensors writes a file such as model\.safetensors"),
        ("transformers", "x.pt", r"--to transformers writes a folder"),
    ],
)
def test_a_name_of_another_form_is_refused(form, out, says, tmp_path):
    with pytest.raises(ValueError, match=says):
        export(tmp_path / "unread.pt", form, tmp_path / out)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_there_is_replaced_only_when_asked(form, source, tmp_path):
    out = tmp_path / FORMS[form]
    export(source, form, out, image_size=(64, 64))
    before = {x: x.read_bytes() for x in tmp_path.rglob("*") if x.is_file()}
    with pytest.raises(ValueError, match=r"is there; give another --out, or --overwrite"):
        export(source, form, out)
    assert before == {x: x.read_bytes() for x in tmp_path.rglob("*") if x.is_file()}
    export(source, form, out, image_size=(128, 128), overwrite=True)
    after = {x: x.read_bytes() for x in tmp_path.rglob("*") if x.is_file()}
    assert before.keys() == after.keys()
    assert before != after


@pytest.mark.parametrize("form", FORMS)
def test_what_is_no_export_is_never_replaced(form, source, tmp_path):
    out = tmp_path / FORMS[form]
    out.mkdir()
    (out / "thesis.txt").touch()
    with pytest.raises(ValueError, match="is there and no earlier export"):
        export(source, form, out, overwrite=True)
    assert (out / "thesis.txt").exists()


FULL = """
import resource, sys
from sam2_video import export
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
source, *targets = sys.argv[1:]
for form, out in zip(targets[::2], targets[1::2]):
    try:
        export(source, form, out)
    except ValueError as error:
        print(error)
"""


def test_a_disk_that_takes_no_more_is_told_and_leaves_nothing_behind(source, tmp_path):
    # the system refuses files above a size, as it would on a full disk
    targets = {form: str(tmp_path / "out" / name) for form, name in FORMS.items()}
    arguments = [x for pair in targets.items() for x in pair]
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(source), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(targets)
    for line, out in zip(lines, targets.values(), strict=True):
        assert line.startswith(f"out: cannot write {out} (")
        assert "File too large" in line
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(source, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"out: cannot write .*file/x\.pt \((File|Not)"):
        export(source, "meta", tmp_path / "file" / "x.pt")
