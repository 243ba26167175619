"""Compile the micro network's parts outside of pytest, whose type checks cannot be compiled.

`python -m tests.model.compiled CASE` prints what came of it as JSON; `test_compilation` reads it.
"""

import copy
import json
import sys

import torch
import torch._dynamo
from torch import Tensor

from sam2_video.model import compilation
from sam2_video.model.compilation import compile_parts
from sam2_video.model.recompute import Recomputed
from sam2_video.model.sam2 import SAM2Model
from tests.model.micro import mask_prompt, micro_model, noise

SIZE = (32, 32)
CPU = torch.device("cpu")


def learn(
    model: SAM2Model,
    num_objects: int,
    num_frames: int,
    recomputed: Recomputed = "none",
) -> dict[str, Tensor]:
    """Return the gradients of a loss of all that is said of a clip."""
    model.zero_grad()
    prompt = mask_prompt(0, tuple(range(num_objects)), SIZE)
    clips = torch.zeros(num_objects, dtype=torch.long)
    pixels = noise(1, num_frames, SIZE)
    said = model(pixels, clips, [prompt], activation_checkpointing=recomputed)
    terms = [one.mask_logits.mean() * 0.1 + one.iou_predictions.sum() for one in said]
    torch.stack(terms).sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def graphs() -> int:
    """Return how many graphs were made so far."""
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


def difference(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """Return the error of all gradients together; one that is not expected has to be zero."""
    errors = [(found[name] - value).square().sum() for name, value in expected.items()]
    errors += [found[name].square().sum() for name in found.keys() - expected.keys()]
    return float((sum(errors) / sum(x.square().sum() for x in expected.values())) ** 0.5)


def gradients() -> dict[str, object]:
    """Compare gradients with and without compilation, and count graphs from clip to clip."""
    model = micro_model(("memory_attention", "memory_encoder", "mask_decoder"), SIZE).train()
    cases: list[tuple] = [(2, 3), (3, 5), (4, 8), (3, 4, "frames"), (2, 3, "cheap")]
    names, expected = list(model.state_dict()), [learn(model, *case) for case in cases]
    compiler = compile_parts(model.network, "max", CPU, backend="aot_eager")
    assert compiler is not None
    before, errors, counts = graphs(), [], []
    for case, gradient in zip(cases, expected, strict=True):
        errors.append(difference(learn(model, *case), gradient))
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
    return {"is_compiled": compiler is not None, "num_gradients": len(learn(model, 1, 3))}


if __name__ == "__main__":
    torch.set_num_threads(1)
    cases = {"gradients": gradients, "missing": missing}
    sys.stdout.write(json.dumps(cases[sys.argv[1]]()) + "\n")
