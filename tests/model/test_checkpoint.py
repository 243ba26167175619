"""Weights in and out of files: every form that is read, and every file that is refused."""

import pickle
from pathlib import Path

import pytest
import torch

from sam2_video.model import checkpoint
from sam2_video.model.architecture import ARCHITECTURES, MICRO, build_network
from sam2_video.model.checkpoint import (
    detect_architecture,
    read_architecture,
    read_weights,
    write_meta,
)
from sam2_video.model.sam2 import SAM2Model
from tests.model.micro import SIZE, micro_model, old_micro_model


@pytest.fixture(scope="module")
def model() -> SAM2Model:
    return micro_model()


@pytest.fixture
def weights_path(model, tmp_path) -> Path:
    path = tmp_path / "weights.pth"
    write_meta(model.network, path)
    return path


def assert_same_weights(one: SAM2Model, other: SAM2Model) -> None:
    expected = other.network.state_dict()
    state = one.network.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_what_is_written_has_metas_form_and_loads_without_a_configuration(model, weights_path):
    content = torch.load(weights_path, weights_only=True)
    assert list(content) == ["model"]
    assert "maskmem_tpos_enc" in content["model"]
    again = SAM2Model.load(str(weights_path), image_size=SIZE)
    assert again.architecture == MICRO
    assert_same_weights(again, model)


def test_a_folder_that_transformers_saved_loads(model, tmp_path):
    model.network.save_pretrained(tmp_path / "folder")
    again = SAM2Model.load(str(tmp_path / "folder"), image_size=SIZE)
    assert_same_weights(again, model)
    one_file = SAM2Model.load(str(tmp_path / "folder" / "model.safetensors"), image_size=SIZE)
    assert_same_weights(one_file, model)


def test_a_training_checkpoint_loads(model, tmp_path):
    state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    assert any(name.startswith("model.network.") for name in state)
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": state | {"loss.weight": torch.ones(1)}, "epoch": 3}, path)
    assert_same_weights(SAM2Model.load(str(path), image_size=SIZE), model)


def test_weights_serve_every_image_size(model, weights_path):
    assert_same_weights(SAM2Model.load(str(weights_path), "micro", (96, 64)), model)


def test_weights_of_another_precision_are_read_at_the_networks_own(model, tmp_path):
    half = {name: tensor.half() for name, tensor in model.state_dict().items()}
    torch.save(
        {"state_dict": {f"model.{name}": x for name, x in half.items()}}, tmp_path / "x.ckpt"
    )
    again = SAM2Model.load(str(tmp_path / "x.ckpt"), image_size=SIZE)
    assert all(parameter.dtype is torch.float32 for parameter in again.parameters())


def test_a_hub_id_is_read_through_the_hubs_client(model, tmp_path, monkeypatch):
    model.network.save_pretrained(tmp_path)
    asked = []

    def answer(*args):
        asked.append(args)
        return str(tmp_path / "model.safetensors")

    monkeypatch.setattr(checkpoint, "cached_file", answer)
    assert_same_weights(SAM2Model.load("someone/sam2-micro", image_size=SIZE), model)
    assert asked == [("someone/sam2-micro", "model.safetensors")]


def test_a_hub_id_that_cannot_be_had_is_named(monkeypatch):
    def refuse(*args):
        raise OSError("We couldn't connect\nto the hub")

    monkeypatch.setattr(checkpoint, "cached_file", refuse)
    with pytest.raises(FileNotFoundError, match=r"someone/thing is neither .*We couldn't connect"):
        read_weights("someone/thing")


@pytest.mark.parametrize("source", ["absent.pt", "/absent/folder", "a/b/c", "plain"])
def test_a_missing_file_is_named_and_not_looked_for_on_the_hub(source, monkeypatch):
    monkeypatch.setattr(checkpoint, "cached_file", lambda *args: pytest.fail("asked the hub"))
    with pytest.raises(FileNotFoundError, match=f"checkpoint_path: no file or folder at {source}"):
        read_weights(source)


def test_a_folder_without_weights_names_the_file_it_lacks(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors does not exist"):
        read_weights(str(tmp_path))


@pytest.mark.parametrize("name", ["x.pt", "x.ckpt", "x.safetensors"])
@pytest.mark.parametrize(
    "text", ["", "hello", "version https://git-lfs.github.com/spec/v1\n", "<html>404</html>"]
)
def test_a_text_file_is_no_checkpoint(name, text, tmp_path):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError, match=f"{name}: not a "):
        read_weights(str(path))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_a_truncated_checkpoint_is_refused(share, weights_path):
    content = weights_path.read_bytes()
    weights_path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match="only a part of one"):
        read_weights(str(weights_path))


def test_a_damaged_checkpoint_is_refused(weights_path):
    content = bytearray(weights_path.read_bytes())
    content[100:2000] = bytes(1900)
    weights_path.write_bytes(content)
    with pytest.raises(ValueError, match="not a checkpoint of plain tensors"):
        read_weights(str(weights_path))


class Trap:
    """Pickled, it opens a file when it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self):
        return Path.touch, (self._path,)


@pytest.mark.parametrize("is_bare", [False, True])
def test_code_in_a_checkpoint_is_not_run(is_bare, tmp_path):
    content = {"model": {"x": torch.zeros(1)}, "trap": Trap(tmp_path / "was_run")}
    path = tmp_path / "evil.pt"
    if is_bare:
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match=r"evil\.pt: not a checkpoint"):
        read_weights(str(path))
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize(
    "content",
    [
        {"weights": {"x": torch.zeros(1)}},
        {"model": {"x": 3}},
        {"model": {}},
        [torch.zeros(1)],
        {"state_dict": {"other.x": torch.zeros(1)}},
    ],
)
def test_a_file_of_other_things_is_refused(content, tmp_path):
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r'x\.pt: expected \{"model": weights\}'):
        read_weights(str(tmp_path / "x.pt"))


def test_weights_of_another_architecture_are_refused_with_counts(weights_path):
    total = len(build_network(ARCHITECTURES["sam2.1-tiny"], SIZE).state_dict())
    message = rf"\d+ of {total} tensors match .*missing \d+ \(.*unknown 4 \(.*other shape \d+ \("
    with pytest.raises(ValueError, match=message):
        SAM2Model.load(str(weights_path), "sam2.1-tiny", SIZE)


def test_one_missing_and_one_unknown_tensor_are_named(weights_path):
    state = torch.load(weights_path, weights_only=True)["model"]
    state["teacher.bias"] = state.pop("no_mem_embed")
    torch.save({"model": state}, weights_path)
    message = r"missing 1 \(no_memory_embedding\), unknown 1 \(teacher\.bias\), other shape 0"
    with pytest.raises(ValueError, match=message):
        SAM2Model.load(str(weights_path), "micro", SIZE)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_every_architecture_is_recognised_by_its_weights(name):
    with torch.device("meta"):
        state = build_network(ARCHITECTURES[name], SIZE).state_dict()
    assert detect_architecture(state, "x.pt").name == name


def test_weights_that_fit_no_architecture_ask_for_a_configuration():
    with pytest.raises(ValueError, match=r"x\.pt: the weights fit none of .*config_path"):
        detect_architecture({"linear.weight": torch.zeros(3, 3)}, "x.pt")


def test_writing_where_a_file_is_in_the_way_leaves_nothing_behind(model, tmp_path):
    (tmp_path / "file").write_text("here")
    with pytest.raises(OSError, match="file"):
        write_meta(model.network, tmp_path / "file" / "best.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_leaves_the_old_file_and_no_part(model, weights_path, monkeypatch):
    before = weights_path.read_bytes()

    def fill(content, path):
        path.write_bytes(b"some")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", fill)
    with pytest.raises(OSError, match="No space left"):
        write_meta(model.network, weights_path)
    assert weights_path.read_bytes() == before
    assert list(weights_path.parent.iterdir()) == [weights_path]


def test_what_reads_back_differently_is_not_kept(model, tmp_path, monkeypatch):
    save = torch.save

    def lose_a_bit(content, path):
        changed = {name: tensor + 1e-6 for name, tensor in content["model"].items()}
        save({"model": changed}, path)

    monkeypatch.setattr(torch, "save", lose_a_bit)
    with pytest.raises(ValueError, match="read back differs"):
        write_meta(model.network, tmp_path / "best.pth")
    assert list(tmp_path.iterdir()) == []


def test_folders_on_the_way_are_made(model, tmp_path):
    path = tmp_path / "runs" / "one" / "best_model.pth"
    write_meta(model.network, path)
    assert [x.name for x in path.parent.iterdir()] == ["best_model.pth"]


@pytest.mark.parametrize("version", ["sam2.1", "sam2"])
@pytest.mark.parametrize(
    ("letter", "size"), [("t", "tiny"), ("s", "small"), ("b+", "base-plus"), ("l", "large")]
)
def test_metas_own_yaml_is_read(version, letter, size):
    sam2 = pytest.importorskip("sam2", reason="Meta's sam2 1.1.0 is not installed")
    path = Path(sam2.__file__).parent / "configs" / version / f"{version}_hiera_{letter}.yaml"
    assert read_architecture(str(path)).name == f"{version}-{size}"


def test_metas_file_name_is_enough_where_the_file_is_not_there():
    assert read_architecture("sam2.1_hiera_b+.yaml").name == "sam2.1-base-plus"
    with pytest.raises(FileNotFoundError, match=r"config_path: mine\.yaml does not exist"):
        read_architecture("mine.yaml")


def test_code_in_a_yaml_is_not_run(tmp_path):
    path = tmp_path / "evil.yaml"
    path.write_text(f'model: !!python/object/apply:os.mkdir ["{tmp_path / "was_run"}"]')
    with pytest.raises(ValueError, match=r"evil\.yaml: not readable as plain YAML"):
        read_architecture(str(path))
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected Meta's keys"),
        ("trainer: 3", "expected Meta's keys"),
        ("model: [1, 2]", "expected Meta's keys"),
        ("model: {image_encoder: {trunk: {}}}", "expected Meta's keys"),
        ("a: [", "not readable as plain YAML"),
        (
            "model: {image_encoder: {trunk: {embed_dim: 96, stages: [1, 2, 3, 4]}}}",
            r"no SAM 2 has embed_dim 96 and stages \[1, 2, 3, 4\]",
        ),
    ],
)
def test_a_yaml_of_other_things_is_refused(text, message, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"x\.yaml: {message}"):
        read_architecture(str(path))


def test_weights_without_sam_2_1s_additions_load(tmp_path):
    network = old_micro_model().network
    write_meta(network, tmp_path / "old.pth")
    state = torch.load(tmp_path / "old.pth", weights_only=True)["model"]
    assert not {"no_obj_embed_spatial", "obj_ptr_tpos_proj.weight"} & set(state)
    assert read_weights(str(tmp_path / "old.pth")).keys() == network.state_dict().keys()
