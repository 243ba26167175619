"""Attention with narrow values against the formula, and memory attention against transformers."""

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from sam2_video.model import attention, memory_attention
from sam2_video.model.adapters import add_adapters
from sam2_video.model.attention import attend
from sam2_video.model.heads import FrameFeatures
from sam2_video.model.memory_attention import (
    attend_to_memory,
    feature_positions,
    is_noisy,
    memory_positions,
)
from sam2_video.model.sam2 import SAM2Model
from tests.model.micro import micro_model

SIDE = 4
NUM_POINTERS = 8


def formula(queries, keys, values):
    scores = queries @ keys.transpose(1, 2) * queries.shape[-1] ** -0.5
    return torch.softmax(scores, dim=-1) @ values


def draw(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=dtype).requires_grad_()


def relative(found, expected):
    return float((found - expected).detach().norm() / expected.detach().norm())


@pytest.fixture(params=["kept", "together", "whole", "blocks"])
def way(request, monkeypatch):
    """Let attention matrices be kept, or computed in one of the ways in which blocks are cut."""
    if request.param == "kept":
        return
    monkeypatch.setattr(attention, "KEPT_BYTES", 0)
    if request.param != "together":
        monkeypatch.setattr(attention, "SMALL_BYTES", 0)
    if request.param == "blocks":
        # two queries of 37 keys in double precision
        monkeypatch.setattr(attention, "BLOCK_BYTES", 2 * 37 * 8)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("num_queries", [1, 2, 7])
def test_narrow_values_are_attended_as_the_formula_says(num_queries):
    inputs = draw(2, num_queries, 16), draw(2, 37, 16, seed=1), draw(2, 37, 4, seed=2)
    found, expected = attend(*inputs), formula(*inputs)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    gradient = draw(*found.shape, seed=3).detach()
    pairs = zip(
        torch.autograd.grad(found, inputs, gradient),
        torch.autograd.grad(expected, inputs, gradient),
        strict=True,
    )
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("way")
def test_half_precision_rounds_as_much_as_the_formula_in_half_precision():
    exact = draw(2, 64, 16), draw(2, 37, 16, seed=1), draw(2, 37, 16, seed=2)
    half = [x.detach().bfloat16().requires_grad_() for x in exact]
    gradient = draw(2, 64, 16, seed=3).detach()

    def errors(function):
        said = function(*half)
        assert said.dtype == torch.bfloat16
        found = said, *torch.autograd.grad(said, half, gradient.bfloat16())
        return [relative(*pair) for pair in zip(found, expected, strict=True)]

    right = formula(*exact)
    expected = right, *torch.autograd.grad(right, exact, gradient)
    for ours, plain in zip(errors(attend), errors(formula), strict=True):
        assert ours <= 1.2 * plain
        assert plain < 0.02


@pytest.mark.usefixtures("way")
def test_huge_scores_do_not_overflow():
    queries, keys, values = (draw(1, 3, n, dtype=torch.float32) for n in (8, 8, 2))
    found = attend(queries * 1e6, keys * 1e6, values)
    assert torch.isfinite(found).all()


@pytest.mark.usefixtures("way")
def test_queries_may_be_shared_without_a_copy():
    queries, keys, values = draw(1, 5, 8), draw(3, 6, 8, seed=1), draw(3, 6, 2, seed=2)
    found = attend(queries.expand(3, -1, -1), keys, values)
    expected = formula(queries, keys, values)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    (ours,) = torch.autograd.grad(found.sum() ** 2, queries)
    (theirs,) = torch.autograd.grad(expected.sum() ** 2, queries)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_the_operator_is_what_pytorch_expects_of_one():
    inputs = draw(2, 5, 8), draw(2, 6, 8, seed=1), draw(2, 6, 2, seed=2)
    torch.library.opcheck(attention._attend_in_blocks, inputs)


def theirs(model: SAM2Model, features: FrameFeatures, memory, positions):
    """Return what transformers' own forward says."""
    embedding = features.spread(features.embedding)
    attended = model.network.memory_attention(
        current_vision_features=embedding.flatten(2).permute(2, 0, 1),
        current_vision_position_embeddings=feature_positions(
            model.network, features.embedding
        ).unsqueeze(1),
        memory=memory.transpose(0, 1),
        memory_posision_embeddings=positions.unsqueeze(1),
        num_object_pointer_tokens=NUM_POINTERS,
    )
    return attended[0].transpose(1, 2).unflatten(2, (SIDE, SIDE))


def case(model: SAM2Model, images: list[int]):
    """Return features of two images, seated, and memory of two frames and pointers."""
    hidden, width = model.architecture.hidden_size, model.network.mem_dim
    space = memory_positions(model.network, SIDE, SIDE)
    tokens = 2 * SIDE * SIDE + NUM_POINTERS
    embedding = draw(2, hidden, SIDE, SIDE, dtype=torch.float32)
    features = FrameFeatures(embedding, embedding[:, :4], embedding[:, :2]).seat(images)
    memory = draw(len(images), tokens, width, seed=1, dtype=torch.float32)
    positions = torch.cat([space, space + 1, space[:NUM_POINTERS]])
    return embedding, features, memory, positions


@pytest.mark.parametrize("images", [[0, 0, 0], [0, 1], [1, 0, 1], [1]])
@pytest.mark.parametrize("is_narrow", [True, False])
def test_memory_attention_is_transformers_own_in_outputs_and_gradients(
    images, is_narrow, monkeypatch
):
    if not is_narrow:
        for module in (attention, memory_attention):
            monkeypatch.setattr(module, "has_narrow_kernel", lambda _: False)
    model = micro_model(image_size=(16 * SIDE, 16 * SIDE))
    embedding, features, memory, positions = case(model, images)
    learning = [embedding, memory, *model.network.memory_attention.parameters()]
    found = attend_to_memory(model.network, features, memory, positions, NUM_POINTERS)
    expected = theirs(model, features, memory, positions)
    assert relative(found, expected) < 1e-6
    weights = draw(*found.shape, seed=5, dtype=torch.float32).detach()
    pairs = zip(
        torch.autograd.grad((found * weights).sum(), learning),
        torch.autograd.grad((expected * weights).sum(), learning),
        strict=True,
    )
    squares = [((a - b).square().sum(), b.square().sum()) for a, b in pairs]
    errors, sizes = (sum(parts) for parts in zip(*squares, strict=True))
    assert (errors / sizes) ** 0.5 < 1e-5


def test_adapters_beside_the_projections_take_part():
    model = micro_model(image_size=(16 * SIDE, 16 * SIDE))
    _, features, memory, positions = case(model, [0, 0])
    before = attend_to_memory(model.network, features, memory, positions, NUM_POINTERS)
    layers = [
        f"memory_attention.layers.0.cross_attn_image.{name}_proj" for name in ("q", "k", "v", "o")
    ]
    add_adapters(model.network, layers, rank=2, alpha=4.0, dropout=0.0, seed=0)
    with torch.no_grad():
        for name, parameter in model.network.named_parameters():
            if "lora_B" in name:
                parameter.add_(0.1)
    found = attend_to_memory(model.network, features, memory, positions, NUM_POINTERS)
    assert relative(found, theirs(model, features, memory, positions)) < 1e-6
    assert relative(found, before) > 1e-3


@pytest.mark.parametrize("is_training", [True, False])
def test_dropout_falls_on_each_object_by_itself(is_training):
    model = SAM2Model.load(
        None, "micro", (16 * SIDE, 16 * SIDE), memory_attention_dropout=0.5
    ).train(is_training)
    assert is_noisy(model.network.memory_attention) == is_training
    _, features, memory, positions = case(model, [0, 0])
    memory = memory[:1].expand(2, -1, -1)
    first, second = attend_to_memory(model.network, features, memory, positions, NUM_POINTERS)
    assert torch.equal(first, second) != is_training


def test_dropout_of_adapters_is_noise_too():
    assert is_noisy(nn.Sequential(nn.Dropout(0.1)))
    assert not is_noisy(nn.Sequential(nn.Dropout(0.1)).eval())
    assert not is_noisy(nn.Sequential(nn.Dropout(0.0)))


def test_dropout_draws_what_transformers_own_forward_draws():
    model = SAM2Model.load(None, "micro", (16 * SIDE, 16 * SIDE), memory_attention_dropout=0.5)
    model.train()
    _, features, memory, positions = case(model, [0, 1])
    torch.manual_seed(0)
    found = attend_to_memory(model.network, features, memory, positions, NUM_POINTERS)
    torch.manual_seed(0)
    expected = theirs(model, features, memory, positions)
    assert relative(found, expected) < 1e-6


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("width", [256, 64])
def test_half_precision_on_a_gpu_is_for_the_flash_kernel(width):
    shape = (2, 40, width)
    inputs = [torch.randn(shape, device="cuda", dtype=torch.bfloat16) for _ in range(3)]
    inputs = [one.requires_grad_() for one in inputs]
    # raises where the kernel refuses what it is given
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        found = attend(*inputs)
        found.sum().backward()
    exact = formula(*(one.detach().double() for one in inputs))
    assert relative(found.double(), exact) < 1e-2
