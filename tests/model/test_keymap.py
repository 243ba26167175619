"""Meta's names and transformers': one to one on every official model, bit for bit."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sam2_video.model.architecture import ARCHITECTURES, MICRO, build_network
from sam2_video.model.keymap import (
    _OUR_GAUSSIANS,
    _OUR_POINTS,
    _TO_META,
    from_meta,
    is_meta,
    meta_name,
    to_meta,
)
from sam2_video.model.sam2 import SAM2Model

OFFICIAL = sorted(set(ARCHITECTURES) - {"micro"})
NUM_TENSORS = {
    "sam2.1-tiny": 471,
    "sam2.1-small": 519,
    "sam2.1-base-plus": 615,
    "sam2.1-large": 903,
}
META_CONFIGS = {
    "tiny": "hiera_t",
    "small": "hiera_s",
    "base-plus": "hiera_b+",
    "large": "hiera_l",
}


def without_storage(name: str) -> dict[str, Tensor]:
    with torch.device("meta"):
        return build_network(ARCHITECTURES[name], (64, 64)).state_dict()


def shapes(state: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


@pytest.mark.parametrize("name", OFFICIAL)
def test_names_map_one_to_one_on_every_official_model(name):
    ours = without_storage(name)
    meta = to_meta(ours)
    # two matrices of frequencies are one in Meta's world, one table of points is four
    assert len(meta) == len(ours) - 1 + 3
    assert shapes(from_meta(meta)) == shapes(ours)
    assert len(meta) == NUM_TENSORS.get(name, len(meta))


@pytest.mark.parametrize("name", OFFICIAL)
def test_metas_own_model_has_exactly_our_names_and_shapes(name, monkeypatch):
    sam2 = pytest.importorskip("sam2", reason="Meta's sam2 1.1.0 is not installed")
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    version, _, size = name.partition("-")
    path = Path(sam2.__file__).parent / "configs" / version / f"{version}_{META_CONFIGS[size]}.yaml"
    # it reads drop path rates back from a tensor, which one without storage cannot give
    monkeypatch.setattr(torch, "linspace", partial(torch.linspace, device="cpu"))
    with torch.device("meta"):
        theirs = instantiate(OmegaConf.load(path).model).state_dict()
    assert shapes(to_meta(without_storage(name))) == shapes(theirs)


def filled(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give every tensor bits and a dtype of its own, without the memory of a whole model."""
    kinds = (torch.float32, torch.float16, torch.bfloat16)
    full = {}
    for number, (name, tensor) in enumerate(sorted(state.items())):
        bits = torch.tensor(number + 1, dtype=torch.int16).view(torch.bfloat16)
        full[name] = bits.to(kinds[number % 3]).expand(tensor.shape)
    # one matrix in Meta's world, and four rows of another
    full[_OUR_GAUSSIANS[0]] = full[_OUR_GAUSSIANS[1]]
    rows, columns = state[_OUR_POINTS].shape
    full[_OUR_POINTS] = torch.arange(rows * columns).view(rows, columns).to(torch.float16)
    return full


def assert_same(state: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert state.keys() == expected.keys()
    for name, tensor in expected.items():
        assert state[name].dtype == tensor.dtype, name
        assert torch.equal(state[name], tensor), name


@pytest.mark.parametrize("name", [*OFFICIAL, "micro"])
def test_shapes_dtypes_and_values_survive_both_ways_round(name):
    ours = filled(without_storage(name))
    meta = to_meta(ours)
    assert_same(from_meta(meta), ours)
    assert_same(to_meta(from_meta(meta)), meta)


COUNTS = st.integers(1, 4)
HEADS = st.sampled_from([1, 2])


@settings(max_examples=15)
@given(
    heads=HEADS,
    blocks=st.tuples(COUNTS, COUNTS, COUNTS, COUNTS),
    layers=COUNTS,
    has_pointer_time=st.booleans(),
    has_occlusion_embedding=st.booleans(),
)
def test_names_of_any_architecture_map_one_to_one(heads, blocks, layers, **flags):
    architecture = replace(
        MICRO,
        embed_dim=8 * heads,
        num_heads=heads,
        blocks_per_stage=blocks,
        global_attention_blocks=(sum(blocks) - 1,),
        memory_layers=layers,
        **flags,
    )
    with torch.device("meta"):
        ours = build_network(architecture, (64, 64)).state_dict()
    meta = to_meta(ours)
    assert len(meta) == len(ours) - 1 + 3
    assert not set(meta) & {name for name in ours if meta_name(name) != name}
    assert shapes(from_meta(meta)) == shapes(ours)
    assert shapes(to_meta(from_meta(meta))) == shapes(meta)
    assert is_meta(meta)
    assert not is_meta(ours)


def test_point_embeddings_keep_their_order():
    state = SAM2Model.load(None, "micro", (64, 64)).network.state_dict()
    meta = to_meta(state)
    for label in range(4):
        row = meta[f"sam_prompt_encoder.point_embeddings.{label}.weight"]
        assert torch.equal(row[0], state["prompt_encoder.point_embed.weight"][label])


def test_unknown_names_stay_so_that_loading_can_name_them():
    state = {"teacher.weight": torch.zeros(1)}
    assert from_meta(state).keys() == state.keys()
    assert to_meta(state).keys() == state.keys()


@pytest.mark.parametrize(
    ("ours", "expected"),
    [
        (
            "vision_encoder.backbone.blocks.11.mlp.proj_out.bias",
            "image_encoder.trunk.blocks.11.mlp.layers.1.bias",
        ),
        (
            "mask_decoder.transformer.layers.1.cross_attn_token_to_image.o_proj.weight",
            "sam_mask_decoder.transformer.layers.1.cross_attn_token_to_image.out_proj.weight",
        ),
        ("memory_attention.layer_norm.weight", "memory_attention.norm.weight"),
        ("object_pointer_proj.layers.0.bias", "obj_ptr_proj.layers.1.bias"),
        (
            "memory_encoder.mask_downsampler.layers.3.layer_norm.weight",
            "memory_encoder.mask_downsampler.encoder.10.weight",
        ),
        ("mask_downsample.weight", "mask_downsample.weight"),
        ("no_object_pointer", "no_obj_ptr"),
        ("prompt_encoder.point_embed.weight", "sam_prompt_encoder.point_embeddings"),
        (
            "shared_image_embedding.positional_embedding",
            "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
        ),
    ],
)
def test_meta_name_says_metas_name(ours, expected):
    assert meta_name(ours) == expected


def test_every_table_row_is_of_use():
    # a row that matches nothing on any official model is dead, or shadowed by one above it
    names = {name for size in OFFICIAL for name in without_storage(size)}
    used = set()
    for name in names:
        for number, (pattern, _) in enumerate(_TO_META):
            if pattern.match(name):
                used.add(number)
                break
    assert used == set(range(len(_TO_META)))
