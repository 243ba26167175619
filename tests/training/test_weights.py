"""The weights of a run, as they come in and go out: starting, continuing, best weights, export."""

import pytest
import torch
from loguru import logger

from sam2_video import export
from sam2_video.model.architecture import MICRO
from sam2_video.model.checkpoint import read_weights
from sam2_video.model.facts import ModelFacts
from sam2_video.model.meta_yaml import MetaModel, read_meta_yaml
from sam2_video.model.sam2 import SAM2Model
from sam2_video.model.writing import write_meta


@pytest.fixture(scope="module")
def first(run, tmp_path_factory):
    """Train for an epoch from weights that are gone afterwards; return the run's folder."""
    folder = tmp_path_factory.mktemp("weights")
    write_meta(SAM2Model.load(None, "micro", (64, 64), seed=9).network, folder / "start.pth")
    settings = {"model__checkpoint_path": str(folder / "start.pth"), "model__config_path": None}
    run(folder / "run", trainer__max_epochs=1, **settings)
    (folder / "start.pth").unlink()
    return folder / "run"


@pytest.fixture
def said():
    """Return what the log says."""
    lines = []
    sink = logger.add(lines.append, format="{message}")
    yield lines
    logger.remove(sink)


def test_best_weights_have_metas_yaml_beside_them(first):
    names = {path.name for path in (first / "checkpoints").iterdir()}
    assert names == {"best_model.pth", "best_model.yaml", "last.ckpt", "epoch_000.ckpt"}
    assert read_meta_yaml(first / "checkpoints" / "best_model.yaml") == MetaModel(MICRO, 64)


@pytest.mark.parametrize("name", ["best_model.pth", "last.ckpt"])
def test_every_checkpoint_of_a_run_exports_without_another_word(name, first, tmp_path):
    source = first / "checkpoints" / name
    done = export(source, "transformers", tmp_path / "x")
    assert done.facts == ModelFacts(MICRO, (64, 64))
    expected = read_weights(str(source)).for_network()
    written = read_weights(str(tmp_path / "x")).for_network()
    assert all(torch.equal(written[key], expected[key]) for key in expected)


def test_a_run_continues_where_the_weights_it_started_from_are_gone(first, run, said):
    settings = {"model__checkpoint_path": "gone.pth", "model__config_path": None}
    result = run(first, resume=str(first), trainer__max_epochs=2, **settings)
    assert result.is_finished
    assert any("going on at step" in line for line in said)
    assert not any("a new run" in line for line in said)


def test_starting_from_a_runs_state_says_how_to_continue_it(first, run, said, tmp_path):
    state = str(first / "checkpoints" / "last.ckpt")
    settings = {"model__checkpoint_path": state, "model__config_path": None}
    run(tmp_path / "new", trainer__max_epochs=1, **settings)
    start = f"a new run, starting from the weights of {state}; to continue the run that wrote it"
    assert any(line.startswith(start) for line in said)
    assert f"loaded 333 of 333 tensors from {state} as micro\n" in said


def test_frames_that_are_no_squares_have_no_yaml_of_metas(run, tmp_path):
    result = run(tmp_path / "run", trainer__max_epochs=1, dataset__image_size=[64, 96])
    assert not result.best_model.with_suffix(".yaml").exists()
    done = export(result.best_model, "safetensors", tmp_path / "x.safetensors")
    assert done.facts == ModelFacts(MICRO, (64, 96))
