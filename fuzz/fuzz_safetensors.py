"""Checkpoints as safetensors, and what they say of their model."""

import torch
from safetensors.torch import save

from fuzz.harness import Target, fuzz
from sam2_video.model.architecture import ARCHITECTURES
from sam2_video.model.checkpoint import read_weights
from sam2_video.model.facts import FACTS, ModelFacts, dump_facts


def _seeds():
    facts = dump_facts(ModelFacts(ARCHITECTURES["micro"], (64, 64)))
    return [
        save({"memory_attention.norm.weight": torch.ones(2, 3)}, {FACTS: facts}),
        save({"a": torch.ones(2)}),
    ]


if __name__ == "__main__":
    fuzz("safetensors", Target(lambda path: read_weights(str(path)), _seeds, "model.safetensors"))
