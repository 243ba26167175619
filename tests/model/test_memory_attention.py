"""Memory attention beside transformers' own: outputs, gradients, adapters and dropout."""

import pytest
import torch
from torch import nn

from sam2_video.model import attention, memory_attention
from sam2_video.model.adapters import add_adapters
from sam2_video.model.heads import FrameFeatures
from sam2_video.model.memory_attention import (
    attend_to_memory,
    feature_positions,
    is_noisy,
    memory_positions,
)
from sam2_video.model.sam2 import SAM2Model
from tests.model.micro import micro_model, relative

SIDE = 4
NUM_POINTERS = 8


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator).requires_grad_()


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
    embedding = draw(2, hidden, SIDE, SIDE)
    features = FrameFeatures(embedding, embedding[:, :4], embedding[:, :2]).seat(images)
    memory = draw(len(images), tokens, width, seed=1)
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
    weights = draw(*found.shape, seed=5).detach()
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


def test_dropout_draws_what_transformers_own_forward_draws(monkeypatch):
    # by PyTorch's draws, as on a GPU
    for module in (attention, memory_attention):
        monkeypatch.setattr(module, "has_narrow_kernel", lambda _: False)
    monkeypatch.setattr(memory_attention, "drop", lambda module, tensor: module(tensor))
    model = SAM2Model.load(None, "micro", (16 * SIDE, 16 * SIDE), memory_attention_dropout=0.5)
    model.train()
    _, features, memory, positions = case(model, [0, 1])
    torch.manual_seed(0)
    found = attend_to_memory(model.network, features, memory, positions, NUM_POINTERS)
    torch.manual_seed(0)
    expected = theirs(model, features, memory, positions)
    assert relative(found, expected) < 1e-6
