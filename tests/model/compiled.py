"""Compile the micro network's parts outside of pytest, whose type checks cannot be compiled.

`python -m tests.model.compiled CASE` prints what came of it as JSON; `test_compilation` reads it.
"""

import copy
import json
import sys
from dataclasses import replace

import torch
import torch._dynamo
from torch import Tensor, nn

from benchmarks.step.contestant import find_dtype, make_clip
from benchmarks.step.ours import make_lesson
from benchmarks.step.settings import MEMORY_ONLY, Problem, Way
from sam2_video.model import compilation
from sam2_video.model.compilation import Compiled, Compiler, compile_parts
from sam2_video.model.sam2 import SAM2Model
from sam2_video.training.objective import learn_from
from tests.model.micro import micro_model
from tests.model.parity import OFFICIAL_LOSS

SIZE = (32, 32)
CPU = torch.device("cpu")
MASK = Problem("micro", 32, frames=3, objects=2)
OURS = Way("ours")
Gradients = dict[str, Tensor]


class Step(nn.Module):
    """The loss of a step, as something that can be wrapped."""

    def __init__(self, model: SAM2Model, problem: Problem, way: Way) -> None:
        super().__init__()
        self.model, self.way, self.device = model, way, torch.device(problem.device)
        self.lesson = make_lesson(make_clip(problem).to(self.device))

    def forward(self) -> Tensor:
        """Return the loss, in the precision of the way."""
        dtype = find_dtype(self.way.precision)
        with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
            learned = learn_from(
                self.model,
                self.lesson,
                OFFICIAL_LOSS,
                objects_at_once=self.way.objects_at_once,
                activation_checkpointing=self.way.activation_checkpointing,
            )
        return learned.loss.total


def learn(model: SAM2Model, problem: Problem, way: Way = OURS) -> Gradients:
    """Return the gradients of a step."""
    return gradients_of(Step(model, problem, way), model)


def gradients_of(step: nn.Module, model: SAM2Model) -> Gradients:
    """Return the gradients that a step leaves in the model."""
    model.zero_grad()
    step().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def graphs() -> int:
    """Return how many graphs were made so far."""
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


def difference(found: Gradients, expected: Gradients) -> float:
    """Return the error of all gradients together; one that is not expected has to be zero."""
    errors = [(found[name] - value).square().sum() for name, value in expected.items()]
    errors += [found[name].square().sum() for name in found.keys() - expected.keys()]
    return float((sum(errors) / sum(x.square().sum() for x in expected.values())) ** 0.5)


def compiled(
    model: SAM2Model, how: Compiled = "max", backend: str = "aot_eager"
) -> tuple[SAM2Model, Compiler]:
    """Compile a model's parts; return a copy that is not compiled, too."""
    reference = copy.deepcopy(model)
    compiler = compile_parts(model.network, how, model.device, backend)
    assert compiler is not None
    return reference, compiler


def gradients() -> dict[str, object]:
    """Compare gradients with and without compilation, and count graphs from clip to clip."""
    model = micro_model((*MEMORY_ONLY, "mask_decoder"), SIZE).train()
    names = list(model.state_dict())
    reference, compiler = compiled(model)
    before, errors, counts = graphs(), [], []
    for problem, way in (
        (MASK, OURS),
        (replace(MASK, frames=6, objects=4), Way("ours", objects_at_once=2)),
        (replace(MASK, objects=3), Way("ours", activation_checkpointing="frames")),
        (MASK, Way("ours", activation_checkpointing="cheap")),
    ):
        found, expected = learn(model, problem, way), learn(reference, problem, way)
        errors.append(difference(found, expected))
        counts.append(graphs() - before)
    return {
        "errors": errors,
        "counts": counts,
        "parts": sorted(compiler.parts),
        "failed": compiler.failed,
        "are_names_kept": names == list(model.state_dict()),
        "is_copy_compiled": copy.deepcopy(model.network) in compilation._COMPILERS,
    }


def missing() -> dict[str, object]:
    """Ask for compilation where there is no compiler, and learn all the same."""
    model = micro_model(("memory_encoder",), SIZE).train()
    compiler = compile_parts(model.network, "max", CPU)
    return {"is_compiled": compiler is not None, "num_gradients": len(learn(model, MASK))}


if __name__ == "__main__":
    torch.set_num_threads(1)
    cases = {
        "gradients": gradients,
        "missing": missing,
    }
    sys.stdout.write(json.dumps(cases[sys.argv[1]]()) + "\n")
