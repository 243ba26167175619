"""Compiled parts: the same gradients, one graph for all lengths, and eager where there is none."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from loguru import logger
from torch import nn
from torch._dynamo.backends.common import aot_autograd
from torch._functorch.compilers import nop

from sam2_video.model import compilation
from sam2_video.model.compilation import compilable, compile_parts

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
PARTS = ["image encoder", "mask decoder", "memory attention", "memory encoder"]
SETTINGS = [
    "everything learns",
    "clicks",
    "clicks, clicks again",
    "clicks, light",
    "clicks, cheap",
    "clicks, frames",
    "clicks, parts",
    "bf16",
    "several processes",
    "average",
    "evaluation",
    "adapters",
]


def outcome(case: str, **environment: str):
    """Run a case of `compiled` in a process of its own."""
    command = [sys.executable, "-m", "tests.model.compiled", case]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.fixture(scope="module")
def without_compiler(tmp_path_factory):
    # what is compared there needs none: one process does for both
    folder = str(tmp_path_factory.mktemp("none"))
    environment = {"PATH": "", "CXX": f"{folder}/g++", "TORCHINDUCTOR_CACHE_DIR": folder}
    return outcome("without-compiler", **environment)


@pytest.fixture(scope="module")
def gradients(without_compiler):
    return without_compiler[0]["gradients"]


def test_every_part_is_one_graph_with_the_same_gradient(gradients):
    assert gradients["parts"] == PARTS
    # a graph that breaks is a failure, because each part is asked for as a whole
    assert gradients["failed"] == {}
    assert len(gradients["errors"]) == 3
    assert max(gradients["errors"]) < 1e-5


def test_other_numbers_of_objects_and_frames_need_no_other_graph(gradients):
    first, *later = gradients["counts"]
    assert 4 <= first <= 8
    assert later == [first] * 2


def test_modules_keep_their_names_and_copies_run_as_they_are(gradients):
    assert gradients["are_names_kept"]
    assert not gradients["is_copy_compiled"]


@pytest.fixture(scope="module")
def settings():
    if "SLOW" not in os.environ:
        pytest.skip("takes minutes; SLOW=1 runs it")
    return outcome("settings")[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_that_can_be_compiled_keeps_its_numbers(settings, name):
    assert settings["failed"] == {}
    assert settings["errors"].keys() == set(SETTINGS)
    assert settings["errors"][name] < (1e-2 if name == "bf16" else 1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("how", ["auto", "max"])
def test_on_a_gpu_compiled_parts_keep_their_numbers(how):
    found = outcome(f"gpu-{how}")[0]
    assert found["parts"] == PARTS
    # a graph that breaks is a failure
    assert found["failed"] == {}
    assert max(found["errors"].values()) < 1e-5
    assert found["has_cuda_graphs"] == (how == "max")


def test_without_a_compiler_training_goes_on_and_says_why(without_compiler):
    found, said = without_compiler[0]["missing"], without_compiler[1]
    assert not found["is_compiled"]
    assert found["num_gradients"] > 0
    assert said.count("nothing is compiled") == 1
    assert "No working C++ compiler" in said


class Layer(nn.Linear):
    """A module, and beside it a function that can be compiled."""


@compilable("layer", vectors=(0,))
def run_layer(layer: Layer, vectors: torch.Tensor) -> torch.Tensor:
    return layer(vectors)


def refuse(graph, inputs):
    raise RuntimeError("no such kernel")


@pytest.fixture
def said():
    lines = []
    sink = logger.add(lines.append, format="{message}")
    yield lines
    logger.remove(sink)


@pytest.fixture
def layer():
    return Layer(3, 2)


def test_a_part_that_fails_runs_as_it_is_and_says_so_once(layer, said, monkeypatch):
    monkeypatch.setattr(compilation, "why_not", lambda *_: None)
    compiler = compile_parts(layer, "max", CPU, backend=refuse)
    assert compiler is not None
    vectors = torch.ones(4, 3)
    for _ in range(2):
        assert torch.equal(run_layer(layer, vectors), layer(vectors))
    assert list(compiler.failed) == ["layer"]
    assert compiler.parts == set()
    assert sum("the layer cannot be compiled" in line for line in said) == 1
    assert "no such kernel" in "".join(said)


def test_a_part_whose_backward_pass_cannot_be_compiled_runs_as_it_is(layer, said, monkeypatch):
    monkeypatch.setattr(compilation, "why_not", lambda *_: None)
    backend = aot_autograd(fw_compiler=nop, bw_compiler=refuse)
    compiler = compile_parts(layer, "max", CPU, backend=backend)
    assert compiler is not None
    run_layer(layer, torch.ones(4, 3)).sum().backward()
    assert torch.equal(layer.weight.grad, torch.full((2, 3), 4.0))
    assert list(compiler.failed) == ["layer"]
    assert "no such kernel" in "".join(said)


def test_an_error_of_the_part_itself_is_its_own(layer, monkeypatch):
    monkeypatch.setattr(compilation, "why_not", lambda *_: None)
    compile_parts(layer, "max", CPU, backend="eager")
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        run_layer(layer, torch.ones(4, 5))


@pytest.mark.parametrize(("how", "device"), [("off", "cuda"), ("auto", "cpu"), ("auto", "mps")])
def test_off_and_auto_without_a_gpu_compile_nothing(layer, how, device):
    compile_parts(layer, "max", CPU, backend="eager")
    assert compile_parts(layer, how, torch.device(device)) is None
    assert layer not in compilation._COMPILERS


@pytest.mark.parametrize(
    ("device", "has_graph", "mode"),
    [
        ("cpu", False, None),
        ("cuda", False, "max-autotune-no-cudagraphs"),
        ("cuda", True, "max-autotune"),
    ],
)
def test_cuda_graphs_are_for_what_needs_no_gradient(device, has_graph, mode):
    assert compilation.Compiler("max", device)._mode(has_graph) == mode
    assert compilation.Compiler("auto", device)._mode(has_graph) is None
