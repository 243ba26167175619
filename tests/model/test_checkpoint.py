"""Weights in and out of files: every form that is read, and every file that is refused."""

import pickle
from pathlib import Path

import pytest
import torch
from loguru import logger
from safetensors.torch import save_file

from sam2_video.model import checkpoint
from sam2_video.model.architecture import ARCHITECTURES, MICRO, build_network
from sam2_video.model.checkpoint import Weights, check_weights, read_weights
from sam2_video.model.detect import detect_architecture
from sam2_video.model.keymap import to_meta
from sam2_video.model.sam2 import SAM2Model
from sam2_video.model.writing import write_meta
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


def test_a_folder_in_several_files_loads(model, tmp_path):
    model.network.save_pretrained(tmp_path, max_shard_size="1MB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    assert_same_weights(SAM2Model.load(str(tmp_path), image_size=SIZE), model)
    next(tmp_path.glob("model-00002*")).unlink()
    with pytest.raises(FileNotFoundError, match=r"model-00002.* does not exist"):
        read_weights(str(tmp_path))


@pytest.mark.parametrize("text", ["{", "[]", '{"weight_map": 3}', '{"weight_map": {"x": "../y"}}'])
def test_an_index_of_other_things_is_refused(text, tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(ValueError, match=r"index\.json: expected `weight_map`"):
        read_weights(str(tmp_path))


@pytest.mark.parametrize("naming", [dict, to_meta])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_both_namings_load_from_both_kinds_of_file(model, naming, suffix, tmp_path):
    state = {name: x.clone() for name, x in naming(model.network.state_dict()).items()}
    path = tmp_path / f"x{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    assert_same_weights(SAM2Model.load(str(path), image_size=SIZE), model)


def test_a_file_that_shares_the_two_equal_matrices_loads(model, tmp_path):
    state = dict(model.network.state_dict())
    del state["prompt_encoder.shared_embedding.positional_embedding"]
    save_file(state, tmp_path / "x.safetensors")
    assert_same_weights(SAM2Model.load(str(tmp_path / "x.safetensors"), image_size=SIZE), model)


@pytest.mark.parametrize("naming", [dict, to_meta])
def test_weights_of_the_image_model_alone_say_what_to_give_instead(model, naming, tmp_path):
    memory = ("memory_", "object_pointer", "temporal_", "no_memory_pos", "no_object", "occlusion")
    names = model.network.state_dict().items()
    state = {name: x for name, x in names if not name.startswith((*memory, "mask_downsample"))}
    save_file({name: x.clone() for name, x in naming(state).items()}, tmp_path / "x.safetensors")
    message = r"image model alone .*memory_attention .*facebook/sam2\.1-hiera-tiny"
    with pytest.raises(ValueError, match=message):
        read_weights(str(tmp_path / "x.safetensors"))


def test_loading_says_how_many_tensors_matched(weights_path):
    said = []
    sink = logger.add(said.append, format="{message}")
    SAM2Model.load(str(weights_path), image_size=SIZE)
    logger.remove(sink)
    assert said == [f"loaded 335 of 335 tensors from {weights_path} as micro\n"]


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


def test_a_hub_id_may_have_points_and_several_files(model, tmp_path, monkeypatch):
    model.network.save_pretrained(tmp_path, max_shard_size="1MB")

    def answer(source, name):
        assert source == "someone/sam2.1-hiera-micro"
        if not (tmp_path / name).is_file():
            raise OSError(f"no {name} there")
        return str(tmp_path / name)

    monkeypatch.setattr(checkpoint, "cached_file", answer)
    again = SAM2Model.load("someone/sam2.1-hiera-micro", image_size=SIZE)
    assert_same_weights(again, model)


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
    with pytest.raises(FileNotFoundError, match=r"holds no model\.safetensors"):
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
    with pytest.raises(
        ValueError, match=r"not a checkpoint that torch\.save wrote, or only a part"
    ):
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
    with torch.device("meta"):
        tiny = build_network(ARCHITECTURES["sam2.1-tiny"], SIZE).state_dict()
    message = r"32 of 471 tensors match .*missing 140 \(image_enc.*unknown 4 \(.*other shape 299 \("
    with pytest.raises(ValueError, match=message):
        check_weights(tiny, read_weights(str(weights_path)))


def test_one_missing_and_one_unknown_tensor_are_named(weights_path):
    state = torch.load(weights_path, weights_only=True)["model"]
    state["teacher.bias"] = state.pop("no_mem_embed")
    torch.save({"model": state}, weights_path)
    message = r"missing 1 \(no_mem_embed\), unknown 1 \(teacher\.bias\), other shape 0"
    with pytest.raises(ValueError, match=message):
        SAM2Model.load(str(weights_path), "micro", SIZE)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_every_architecture_is_recognised_by_its_weights(name):
    with torch.device("meta"):
        state = build_network(ARCHITECTURES[name], SIZE).state_dict()
    assert detect_architecture(Weights("x.pt", state)).name == name


def test_weights_that_fit_no_architecture_ask_for_a_configuration():
    with pytest.raises(ValueError, match=r"x\.pt: the weights are another model's: 1 tensors"):
        detect_architecture(Weights("x.pt", {"linear.weight": torch.zeros(3, 3)}))


def test_weights_without_sam_2_1s_additions_load(tmp_path):
    network = old_micro_model().network
    write_meta(network, tmp_path / "old.pth")
    state = torch.load(tmp_path / "old.pth", weights_only=True)["model"]
    assert not {"no_obj_embed_spatial", "obj_ptr_tpos_proj.weight"} & set(state)
    assert (
        read_weights(str(tmp_path / "old.pth")).for_network().keys() == network.state_dict().keys()
    )


@pytest.mark.parametrize("text", ["3", "{}", "[", '{"architecture": "micro", "image_size": [1]}'])
def test_what_a_file_says_of_itself_must_be_whole(model, text, tmp_path):
    state = dict(model.network.state_dict())
    save_file(state, tmp_path / "x.safetensors", {"sam2_video": text})
    with pytest.raises(ValueError, match=r"x\.safetensors: what it says of its model .*cannot be"):
        read_weights(str(tmp_path / "x.safetensors"))


def test_points_that_do_not_stack_are_found_by_their_shape(weights_path):
    state = torch.load(weights_path, weights_only=True)["model"]
    state["sam_prompt_encoder.point_embeddings.2.weight"] = torch.zeros(1, 3)
    torch.save({"model": state}, weights_path)
    with pytest.raises(ValueError, match=r"334 of 335 .*point_embeddings\.2\.weight \(1, 3\)"):
        SAM2Model.load(str(weights_path), image_size=SIZE)
