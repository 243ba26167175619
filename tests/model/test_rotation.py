"""RoPE: what it turns, what it leaves, and the way back."""

import pytest
import torch
from torch import Tensor

from sam2_video.model.architecture import MICRO, build_network
from sam2_video.model.rotation import (
    Rotation,
    rotate,
    rotation_of,
    split_and_rotate,
)
from tests.model.micro import relative

ROWS, COLUMNS = 4, 2
TOKENS, CHANNELS = ROWS * COLUMNS, MICRO.hidden_size


@pytest.fixture(scope="module")
def rotation() -> Rotation:
    return rotation_of(build_network(MICRO, (16 * ROWS, 16 * COLUMNS)).double(), ROWS, COLUMNS)


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


def formula(vectors: Tensor, rotation: Rotation) -> Tensor:
    pairs = torch.view_as_complex(vectors.unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * torch.view_as_complex(rotation.turn)).flatten(-2)


def gradients(outputs: tuple[Tensor, ...], inputs: Tensor) -> Tensor:
    weights = [draw(*output.shape, seed=i + 1).detach() for i, output in enumerate(outputs)]
    sums = [(o * w.to(o)).sum() for o, w in zip(outputs, weights, strict=True)]
    return torch.autograd.grad(torch.stack(sums).sum(), inputs)[0]


@pytest.mark.parametrize("is_compiling", [False, True])
def test_vectors_turn_and_gradients_turn_back(is_compiling, rotation, monkeypatch):
    vectors = draw(2, TOKENS, CHANNELS)
    expected = formula(vectors, rotation)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: is_compiling)
    found = rotate(vectors, rotation)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        gradients((found,), vectors), gradients((expected,), vectors), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("is_compiling", [False, True])
@pytest.mark.parametrize("shape", [(2, TOKENS), (1, 1)])
def test_queries_and_keys_turn_and_values_do_not(is_compiling, shape, rotation, monkeypatch):
    joined = draw(*shape, 3 * CHANNELS)
    rotation = Rotation(rotation.turn[: shape[1]], rotation.back[: shape[1]])
    queries, keys, values = joined.chunk(3, dim=-1)
    expected = formula(queries, rotation), formula(keys, rotation), values
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: is_compiling)
    found = split_and_rotate(joined, rotation)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        gradients(found, joined), gradients(expected, joined), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_rounded_once(dtype, rotation):
    narrow = Rotation(rotation.turn.float(), rotation.back.float())
    half = draw(2, TOKENS, CHANNELS).detach().to(dtype).requires_grad_()
    exact = half.detach().double().requires_grad_()
    found, expected = rotate(half, narrow), formula(exact, rotation)
    assert found.dtype == dtype
    assert relative(found.double(), expected) < torch.finfo(dtype).eps
    assert torch.equal(found, formula(half.float(), narrow).to(dtype))
    ours, theirs = gradients((found,), half), gradients((expected,), exact)
    assert ours.dtype == dtype
    assert relative(ours.double(), theirs) < 2 * torch.finfo(dtype).eps


def test_gradients_may_lie_otherwise_in_memory(rotation):
    vectors = draw(2, TOKENS, CHANNELS)
    (ours,) = torch.autograd.grad(rotate(vectors, rotation).transpose(1, 2).sum(0).sum(), vectors)
    (theirs,) = torch.autograd.grad(formula(vectors, rotation).sum(), vectors)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_memories_turn_one_like_another_and_pointers_stay(rotation):
    repeated = rotation.repeat(2, num_still=3)
    keys = draw(1, 2 * TOKENS + 3, CHANNELS)
    first, second, pointers = keys.split([TOKENS, TOKENS, 3], dim=1)
    expected = formula(first, rotation), formula(second, rotation), pointers
    found = rotate(keys, repeated)
    torch.testing.assert_close(found, torch.cat(expected, dim=1), rtol=0, atol=1e-12)
    back = torch.view_as_complex(repeated.back)
    torch.testing.assert_close(back, torch.view_as_complex(repeated.turn).conj())
