"""What is exported is read by the tools that it is for: Meta's code and transformers."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedConfig, Sam2VideoModel
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

from sam2_video import export
from sam2_video.model.architecture import ARCHITECTURES, MICRO, build_network, network_config
from sam2_video.model.facts import ModelFacts
from sam2_video.model.folder import save_safetensors
from sam2_video.model.keymap import to_meta
from sam2_video.model.sam2 import SAM2Model
from sam2_video.model.writing import write_meta, write_meta_yaml
from tests.model.micro import micro_model, noise


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


@pytest.fixture
def meta_can_be_built_without_storage(monkeypatch):
    # Meta's code reads drop path rates back from a tensor, which one without storage cannot give
    monkeypatch.setattr(torch, "linspace", partial(torch.linspace, device="cpu"))


@pytest.mark.parametrize("name", sorted(set(ARCHITECTURES) - {"micro"}))
def test_metas_code_builds_the_model_from_the_yaml_that_is_written(
    name, tmp_path, meta_can_be_built_without_storage
):
    pytest.importorskip("sam2", reason="Meta's sam2 1.1.0 is not installed")
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    write_meta_yaml(ARCHITECTURES[name], 512, tmp_path / "x.yaml")
    with torch.device("meta"):
        theirs = instantiate(OmegaConf.load(tmp_path / "x.yaml").model)
        ours = build_network(ARCHITECTURES[name], (512, 512))
        theirs.load_state_dict(to_meta(ours.state_dict()), strict=True)
    assert theirs.image_size == 512
    assert theirs.sam_prompt_encoder.image_embedding_size == (32, 32)
    for layer in theirs.memory_attention.layers:
        assert layer.self_attn.freqs_cis.shape[0] == 32 * 32


def test_metas_predictor_is_built_from_what_is_exported(tmp_path):
    pytest.importorskip("sam2", reason="Meta's sam2 1.1.0 is not installed")
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from sam2.build_sam import build_sam2_video_predictor

    model = SAM2Model.load(None, "sam2.1-tiny", (256, 256), seed=5)
    write_meta(model.network, tmp_path / "tiny.pt")
    export(tmp_path / "tiny.pt", "meta", tmp_path / "out" / "x.pt", image_size=(256, 256))
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(tmp_path / "out"), version_base="1.2"):
        predictor = build_sam2_video_predictor("x", str(tmp_path / "out" / "x.pt"), device="cpu")
    assert predictor.image_size == 256
    assert_equal_bits(dict(predictor.state_dict()), to_meta(model.network.state_dict()))


def test_metas_code_has_one_size_of_mask_decoder_which_is_not_micros(
    tmp_path, meta_can_be_built_without_storage
):
    pytest.importorskip("sam2", reason="Meta's sam2 1.1.0 is not installed")
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    write_meta_yaml(MICRO, 64, tmp_path / "x.yaml")
    assert "Meta's code cannot build" in (tmp_path / "x.yaml").read_text()
    with torch.device("meta"):
        theirs = instantiate(OmegaConf.load(tmp_path / "x.yaml").model).state_dict()
        ours = to_meta(build_network(MICRO, (64, 64)).state_dict())
    # Meta projects no memory that is as wide as the network
    assert ours.keys() - theirs.keys() == {
        "memory_encoder.out_proj.weight",
        "memory_encoder.out_proj.bias",
    }
    different = {name for name in theirs if ours[name].shape != theirs[name].shape}
    assert {".".join(name.split(".")[:2]) for name in different} == {
        "sam_mask_decoder.iou_prediction_head",
        "sam_mask_decoder.transformer",
    }


def settings_of(config: PreTrainedConfig) -> dict[str, object]:
    """Return a configuration without what `from_pretrained` itself fills in."""
    settings = {}
    for name, value in config.to_dict().items():
        if name in ("dtype", "architectures", "_name_or_path"):
            continue
        owner = getattr(config, name, None)
        settings[name] = settings_of(owner) if isinstance(owner, PreTrainedConfig) else value
    return settings


@pytest.mark.parametrize("side", [96, 512])
def test_from_pretrained_reads_the_folder_with_every_size_right(side, source, model, tmp_path):
    export(source, "transformers", tmp_path / "x", image_size=(side, side))
    network = Sam2VideoModel.from_pretrained(tmp_path / "x")
    assert_equal_bits(dict(network.state_dict()), dict(model.network.state_dict()))
    expected = build_network(MICRO, (side, side))
    assert settings_of(network.config) == settings_of(network_config(MICRO, (side, side), 0.0))
    assert network.prompt_encoder.image_embedding_size == (side // 16, side // 16)
    assert network.backbone_feature_sizes == expected.backbone_feature_sizes
    tables = dict(network.memory_attention.named_buffers())
    assert tables["position_ids"].shape == ((side // 16) ** 2, 2)
    for name, table in expected.memory_attention.named_buffers():
        assert torch.equal(tables[name], table), name


def test_transformers_own_tracking_runs_on_the_exported_folder(tmp_path):
    # it wants memories narrower than the network, as in every SAM 2 but micro
    facts = ModelFacts(replace(MICRO, name="wide", hidden_size=128, fuser_size=512), (96, 96))
    state = build_network(facts.architecture, facts.image_size).state_dict()
    save_safetensors(state, facts, tmp_path / "wide.safetensors")
    export(tmp_path / "wide.safetensors", "transformers", tmp_path / "x")
    network = Sam2VideoModel.from_pretrained(tmp_path / "x").eval()
    session = Sam2VideoInferenceSession(noise(1, 2, (96, 96))[0], 96, 96, dtype=torch.float32)
    session.obj_id_to_idx(1)
    session.add_mask_inputs(0, 0, torch.ones(1, 1, 24, 24))
    session.obj_with_new_inputs = [1]
    masks = [network(session, frame_idx=frame).pred_masks for frame in range(2)]
    assert [tuple(mask.shape) for mask in masks] == [(1, 1, 24, 24)] * 2


def test_the_processor_of_the_folder_has_the_models_size(source, tmp_path):
    export(source, "transformers", tmp_path / "x")
    settings = json.loads((tmp_path / "x" / "processor_config.json").read_text())
    square = {"height": 96, "width": 96}
    assert settings["target_size"] == 96
    assert settings["image_processor"]["size"] == settings["video_processor"]["size"] == square
    assert settings["image_processor"]["mask_size"] == {"height": 24, "width": 24}
    pytest.importorskip("torchvision", reason="transformers' processors need torchvision")
    from transformers import Sam2VideoProcessor

    assert Sam2VideoProcessor.from_pretrained(tmp_path / "x").to_dict() == settings
