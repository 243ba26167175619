"""Attention with narrow values, in blocks and with dropout, against the formula."""

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from sam2_video.model import attention, attention_blocks, cpu_attention
from sam2_video.model.attention import attend
from sam2_video.model.memory_attention import _project_dropped
from sam2_video.model.noise import scale_of_kept


def formula(queries, keys, values):
    scores = queries @ keys.transpose(1, 2) * queries.shape[-1] ** -0.5
    return torch.softmax(scores, dim=-1) @ values


def draw(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=dtype).requires_grad_()


def relative(found, expected):
    return float((found - expected).detach().norm() / expected.detach().norm())


def assert_same(found, expected, inputs):
    """Compare two outcomes in double precision, and the gradients of the inputs."""
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    gradient = draw(*found.shape, seed=3).detach()
    pairs = zip(
        torch.autograd.grad(found, inputs, gradient),
        torch.autograd.grad(expected, inputs, gradient),
        strict=True,
    )
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.fixture(params=["together", "whole", "blocks"])
def cut(request, monkeypatch):
    """Cut attention matrices into blocks in one of the ways."""
    if request.param != "together":
        monkeypatch.setattr(attention_blocks, "SMALL_BYTES", 0)
    if request.param == "blocks":
        # two queries of 37 keys in double precision
        monkeypatch.setattr(attention_blocks, "BLOCK_BYTES", 2 * 37 * 8)
        monkeypatch.setattr(attention_blocks, "BLOCK_QUERIES", 1)


@pytest.fixture(params=["kept", "again"])
def way(request, cut, monkeypatch):
    """Keep attention matrices, or compute them again."""
    if request.param == "again":
        monkeypatch.setattr(attention, "KEPT_BYTES", 0)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("num_queries", [1, 2, 7])
def test_narrow_values_are_attended_as_the_formula_says(num_queries):
    inputs = draw(2, num_queries, 16), draw(2, 37, 16, seed=1), draw(2, 37, 4, seed=2)
    found, expected = attend(*inputs), formula(*inputs)
    assert_same(found, expected, inputs)


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


@pytest.mark.parametrize(
    ("num_queries", "num_keys", "sizes"),
    [
        (1024, 1024, [1024]),
        (4096, 4096, [512] * 8),
        # one more than fit: blocks of one size, all of them smaller
        (1024, 2100, [512] * 2),
        (4096, 16384, [512] * 8),
        (4096, 2**17, [128] * 32),
        (3, 2**25, [1] * 3),
    ],
)
def test_blocks_are_of_enough_queries_and_not_too_many_bytes(num_queries, num_keys, sizes):
    queries, keys = torch.empty(1, num_queries, 0), torch.empty(1, num_keys, 0)
    cut = [block.rows for block in attention_blocks._cut(queries, keys)]
    assert [min(rows.stop, num_queries) - rows.start for rows in cut] == sizes


def test_the_operators_are_what_pytorch_expects_of_them():
    inputs = draw(2, 5, 8), draw(2, 6, 8, seed=1), draw(2, 6, 2, seed=2)
    torch.library.opcheck(cpu_attention.attend_in_blocks, inputs)
    torch.library.opcheck(cpu_attention.attention_and_matrix, (*inputs, 0.0))


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("dropout", [0.3, 1.0])
def test_dropout_is_the_formula_with_a_mask(dropout):
    inputs = draw(2, 7, 16), draw(2, 37, 16, seed=1), draw(2, 37, 4, seed=2)
    torch.manual_seed(0)
    found = attend(*inputs, dropout=dropout)
    torch.manual_seed(0)
    _, kept = cpu_attention.attention_and_matrix(*inputs, dropout)
    stays = kept.detach() > 0
    assert stays.double().mean() == pytest.approx(1 - dropout, abs=0.05)
    assert len(torch.unique(stays.flatten(0, 1), dim=0)) == (14 if dropout < 1 else 1)
    queries, keys, values = inputs
    weights = torch.softmax(queries @ keys.transpose(1, 2) * 16**-0.5, dim=-1)
    torch.testing.assert_close(kept.abs(), weights, rtol=0, atol=1e-12)
    expected = (weights * stays * scale_of_kept(dropout)) @ values
    assert_same(found, expected, inputs)


@pytest.mark.parametrize("bias", [True, False])
def test_values_projected_after_dropout_are_those_projected_before(bias):
    memory, query = draw(2, 37, 4), draw(2, 7, 16, seed=1)
    keys, projection = draw(2, 37, 16, seed=2), nn.Linear(4, 16, bias=bias).double()
    torch.manual_seed(0)
    attended = attend(query, keys, nn.functional.pad(memory, (0, 1), value=1.0), 0.3)
    found = _project_dropped(projection, attended)
    torch.manual_seed(0)
    expected = attend(query, keys, projection(memory), 0.3)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_a_matrix_is_kept_where_that_was_asked_for_and_a_gradient_is_wanted():
    inputs = draw(1, 5, 8), draw(1, 6, 8, seed=1), draw(1, 6, 2, seed=2)

    def is_kept(**asked):
        kept = []
        with saved_tensors_hooks(lambda tensor: kept.append(tensor.shape) or tensor, lambda x: x):
            attend(*inputs, **asked)
        return (1, len(inputs[0][0]), 6) in kept

    assert is_kept()
    assert is_kept(kept="few")
    assert not is_kept(kept="none")
    assert is_kept(kept="none", dropout=0.1)
    with torch.no_grad():
        assert not is_kept()
        assert not is_kept(kept="few")
    inputs = draw(1, 1, 8), *inputs[1:]
    assert is_kept()
    # of six keys to a query
    assert not is_kept(kept="few")


def test_kernels_of_another_device_are_none_of_ours():
    inputs = draw(1, 5, 8), draw(1, 6, 8, seed=1), draw(1, 6, 2, seed=2)
    with Names() as seen, attention.kernels_of("cuda"):
        attend(*inputs)
    assert not seen.names & {"addmm_", "baddbmm_", "attend_in_blocks"}
    with Names() as seen:
        attend(*inputs)
    assert "addmm_" in seen.names


def test_what_compilers_see_is_an_operation(monkeypatch):
    inputs = draw(1, 5, 8), draw(1, 6, 8, seed=1), draw(1, 6, 2, seed=2)
    expected = attend(*inputs)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    with Names() as seen:
        found = attend(*inputs)
    assert seen.names == {"attend_and_keep"}
    assert_same(found, expected, inputs)


class Names(TorchDispatchMode):
    """Collect the names of the operations that are called."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.__name__.partition(".")[0])
        return func(*args, **(kwargs or {}))


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
