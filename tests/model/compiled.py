"""Compile the micro network's parts outside of pytest, whose type checks cannot be compiled.

`python -m tests.model.compiled CASE` prints what came of it as JSON; `test_compilation` reads it.
"""

import copy
import json
import sys
from dataclasses import replace
from functools import partial

import torch
import torch._dynamo
from torch import Tensor, nn
from torch import distributed as dist
from torch._inductor.cudagraph_trees import get_container
from torch.nn.parallel import DistributedDataParallel

from benchmarks.step.contestant import find_dtype, make_clip
from benchmarks.step.ours import make_lesson
from benchmarks.step.settings import EVERYTHING, MEMORY_ONLY, Problem, Way
from sam2_video.model import compilation
from sam2_video.model.compilation import Compiled, Compiler, compile_parts
from sam2_video.model.object_prompt import ObjectPrompt
from sam2_video.model.sam2 import SAM2Model
from sam2_video.training.averaging import WeightAverage
from sam2_video.training.objective import learn_from
from tests.model.meta_oracle import jitter
from tests.model.micro import micro_model, squares, video
from tests.model.parity import OFFICIAL_LOSS
from tests.model.tracked import said

SIZE = (32, 32)
CPU = torch.device("cpu")
MASK = Problem("micro", 32, frames=3, objects=2)
CLICKS = replace(MASK, prompt="point", clicks=2)
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
        # with five frames a unit of the decoder is 0 but for rounding: its ReLU has two gradients
        (replace(MASK, frames=4, objects=4), Way("ours", objects_at_once=2)),
        (replace(MASK, objects=3), Way("ours", activation_checkpointing="frames")),
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


def settings() -> dict[str, object]:
    """Compare steps and a tracked video with and without compilation, setting by setting."""
    model = micro_model(EVERYTHING, SIZE).train()
    reference, compiler = compiled(model)
    ways = {
        "everything learns": (MASK, OURS),
        "clicks": (CLICKS, OURS),
        "clicks, clicks again": (CLICKS, Way("ours", activation_checkpointing="clicks")),
        "clicks, light": (CLICKS, Way("ours", activation_checkpointing="light")),
        "clicks, cheap": (CLICKS, Way("ours", activation_checkpointing="cheap")),
        "clicks, frames": (CLICKS, Way("ours", activation_checkpointing="frames")),
        "clicks, parts": (replace(CLICKS, objects=3), Way("ours", objects_at_once=2)),
        "bf16": (CLICKS, Way("ours", "bf16")),
    }
    errors = {
        name: difference(learn(model, *way), learn(reference, *way)) for name, way in ways.items()
    }
    errors["several processes"] = difference(
        learn_in_a_group(model, CLICKS), learn(reference, CLICKS)
    )
    errors["evaluation"] = difference(*(track(one) for one in (model, reference)))
    errors["average"] = differ_with_average(model.train())
    adapted = micro_model((), SIZE)
    adapted.add_adapters(["memory_attention", "image_encoder"], rank=2)
    adapted.set_trainable([])
    jitter(adapted, seed=2)
    plain, other = compiled(adapted.train())
    errors["adapters"] = difference(learn(adapted, MASK), learn(plain, MASK))
    return {"errors": errors, "failed": compiler.failed | other.failed}


def on_a_gpu(how: Compiled) -> dict[str, object]:
    """Compare, on a GPU, what learns with a frozen encoder and what is tracked with eager."""
    torch.set_float32_matmul_precision("highest")
    model = micro_model((*MEMORY_ONLY, "mask_decoder"), SIZE).train().to("cuda")
    reference, compiler = compiled(model, how, "inductor")
    mask, clicks = replace(MASK, device="cuda"), replace(CLICKS, device="cuda")
    ways = {
        "mask": (mask, OURS),
        "clicks": (clicks, OURS),
        "other lengths": (replace(clicks, frames=5, objects=3), OURS),
        "light": (mask, Way("ours", activation_checkpointing="light")),
        "cheap": (mask, Way("ours", activation_checkpointing="cheap")),
        "mask again": (mask, OURS),
    }
    errors = {
        name: difference(learn(model, *way), learn(reference, *way)) for name, way in ways.items()
    }
    errors["evaluation"] = difference(*(track(one) for one in (model, reference)))
    return {
        "errors": errors,
        "failed": compiler.failed,
        "parts": sorted(compiler.parts),
        "has_cuda_graphs": get_container(0).tree_manager is not None,
    }


def learn_in_a_group(model: SAM2Model, problem: Problem) -> Gradients:
    """Return the gradients of a step under DDP, as it is run."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    step = Step(model, problem, OURS)
    found = gradients_of(DistributedDataParallel(step, find_unused_parameters=True), model)
    dist.destroy_process_group()
    return found


def differ_with_average(model: SAM2Model) -> float:
    """Return how far a step with averaged weights is off, and one with the weights again."""
    average = WeightAverage(0.5)
    average.start(model.network)
    jitter(model, seed=3)
    average.update(model.network)
    with average.applied(model.network):
        averaged = difference(learn(model, MASK), learn(copy.deepcopy(model), MASK))
    return max(averaged, difference(learn(model, MASK), learn(copy.deepcopy(model), MASK)))


def track(model: SAM2Model) -> Gradients:
    """Return what is said of a tracked video."""
    prompts = [ObjectPrompt(1, 0, mask=squares(1, SIZE)[0] > 0)]
    prompts.append(ObjectPrompt(2, 1, points=[(14.0, 10.0)], labels=[1]))
    with torch.no_grad():
        found = said(list(model.eval().track(video(5, SIZE), prompts)))
    return {str(key): value for key, value in found.items()}


def missing() -> dict[str, object]:
    """Ask for kernels where there is no C++ compiler, and learn all the same."""
    model = micro_model(("memory_encoder",), SIZE).train()
    compiler = compile_parts(model.network, "max", CPU)
    return {"is_compiled": compiler is not None, "num_gradients": len(learn(model, MASK))}


if __name__ == "__main__":
    torch.set_num_threads(1)
    cases = {
        "without-compiler": lambda: {"missing": missing(), "gradients": gradients()},
        "settings": settings,
        "missing": missing,
        "gpu-auto": partial(on_a_gpu, "auto"),
        "gpu-max": partial(on_a_gpu, "max"),
    }
    sys.stdout.write(json.dumps(cases[sys.argv[1]]()) + "\n")
