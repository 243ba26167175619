"""Queries, keys and values as one product: of which weights, and with which gradients."""

import pytest
import torch

from sam2_video.model.adapters import add_adapters
from sam2_video.model.joined import join_projections
from tests.model.micro import micro_model


def test_a_joined_product_is_the_three_of_its_layer_and_so_are_its_gradients():
    network = micro_model().network.double()
    attention = network.memory_attention.layers[0].self_attn
    joined = join_projections(network)[0]
    features = torch.randn(2, 5, attention.q_proj.in_features, dtype=torch.float64)
    parts = [attention.q_proj, attention.k_proj, attention.v_proj]
    expected = torch.cat([part(features) for part in parts], dim=-1)
    found = joined(features)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    learning = [weight for part in parts for weight in part.parameters()]
    weights = torch.randn_like(found)
    torch.testing.assert_close(
        torch.autograd.grad((found * weights).sum(), learning),
        torch.autograd.grad((expected * weights).sum(), learning),
        rtol=0,
        atol=1e-12,
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_are_joined_in_the_precision_in_which_they_are_multiplied(dtype):
    network = micro_model().network
    assert {joined.weight.dtype for joined in join_projections(network)} == {torch.float32}
    with torch.autocast("cpu", dtype):
        joined = join_projections(network)
    assert {x.dtype for one in joined for x in (one.weight, one.bias)} == {dtype}


def test_the_precision_of_other_parts_says_nothing_of_memory_attention():
    network = micro_model().network.half()
    network.memory_attention.float()
    assert {joined.weight.dtype for joined in join_projections(network)} == {torch.float32}


def test_a_layer_with_an_adapter_keeps_its_own_projections():
    network = micro_model().network
    add_adapters(
        network,
        ["memory_attention.layers.1.self_attn.k_proj"],
        rank=2,
        alpha=4.0,
        dropout=0.0,
        seed=0,
    )
    assert [joined is None for joined in join_projections(network)] == [
        place == 1 for place in range(len(network.memory_attention.layers))
    ]
