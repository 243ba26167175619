"""Files are written whole or not at all, and only what reads back the same is kept."""

from pathlib import Path

import pytest
import torch

from sam2_video.model.architecture import MICRO
from sam2_video.model.meta_yaml import MetaModel, read_meta_yaml
from sam2_video.model.sam2 import SAM2Model
from sam2_video.model.writing import compare, write_meta, write_meta_yaml
from tests.model.micro import micro_model


@pytest.fixture(scope="module")
def model() -> SAM2Model:
    return micro_model()


@pytest.fixture
def weights_path(model, tmp_path) -> Path:
    path = tmp_path / "weights.pth"
    write_meta(model.network, path)
    return path


def test_writing_where_a_file_is_in_the_way_leaves_nothing_behind(model, tmp_path):
    (tmp_path / "file").write_text("here")
    with pytest.raises(OSError, match="file"):
        write_meta(model.network, tmp_path / "file" / "best.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_leaves_the_old_file_and_no_part(model, weights_path, monkeypatch):
    before = weights_path.read_bytes()

    def fill(content, file):
        file.write(b"some")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", fill)
    with pytest.raises(OSError, match="No space left"):
        write_meta(model.network, weights_path)
    assert weights_path.read_bytes() == before
    assert list(weights_path.parent.iterdir()) == [weights_path]


@pytest.mark.parametrize("change", [lambda x: x + 1e-6, torch.neg, torch.Tensor.half])
def test_what_reads_back_differently_is_not_kept(model, change, tmp_path, monkeypatch):
    save = torch.save

    def lose_a_bit(content, file):
        changed = {name: change(tensor) for name, tensor in content["model"].items()}
        save({"model": changed}, file)

    monkeypatch.setattr(torch, "save", lose_a_bit)
    with pytest.raises(ValueError, match="read back differs"):
        write_meta(model.network, tmp_path / "best.pth")
    assert list(tmp_path.iterdir()) == []


def test_folders_on_the_way_are_made(model, tmp_path):
    path = tmp_path / "runs" / "one" / "best_model.pth"
    write_meta(model.network, path)
    assert [x.name for x in path.parent.iterdir()] == ["best_model.pth"]


def test_a_weight_that_is_no_number_is_still_itself(model, tmp_path):
    network = SAM2Model.load(None, "micro", (64, 64)).network
    network.no_memory_embedding.data[..., :2] = torch.tensor([float("nan"), -0.0])
    write_meta(network, tmp_path / "x.pth")
    state = network.state_dict()
    state["no_memory_embedding"] = state["no_memory_embedding"].abs()
    with pytest.raises(ValueError, match="in 1 tensors, such as no_memory_embedding"):
        compare(state, tmp_path / "x.pth")


def test_metas_yaml_is_written_whole(tmp_path):
    write_meta_yaml(MICRO, 96, tmp_path / "x.yaml")
    assert read_meta_yaml(tmp_path / "x.yaml") == MetaModel(MICRO, 96)
    assert [x.name for x in tmp_path.iterdir()] == ["x.yaml"]
