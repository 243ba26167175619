"""Checkpoints that torch.save wrote: weights, and the state of a run."""

import io
from pathlib import Path

import torch

from fuzz.harness import Target, fuzz, read_each
from fuzz.mutators import mutate_zip
from sam2_video.model.checkpoint import read_weights
from sam2_video.model.detect import detect_architecture
from sam2_video.training.resume import read_resume


class _Canary:
    def __reduce__(self):
        return Path.touch, (Path("canary"),)


def _save(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def _seeds():
    weights = {
        "image_encoder.trunk.patch_embed.proj.weight": torch.ones(2, 3),
        "memory_attention.norm.weight": torch.ones(2),
    }
    state = {f"model.network.{name}": value for name, value in weights.items()}
    progress = {"fit_loop": {"epoch_progress": {"current": {"processed": 1}}}}
    optimiser = [
        {
            "param_groups": [{"param_names": ["a"], "params": [0]}],
            "state": {0: {"step": torch.ones(1)}},
        }
    ]
    run = {"state_dict": state, "loops": progress, "optimizer_states": optimiser, "global_step": 3}
    return [
        _save({"model": weights}),
        _save(run),
        _save({"model": _Canary()}),
        _save([1, "a", None]),
    ]


def _read(path):
    read_each(
        path,
        lambda: detect_architecture(read_weights(str(path))),
        lambda: read_resume(str(path)),
    )


if __name__ == "__main__":
    fuzz("checkpoint", Target(_read, _seeds, "checkpoints/last.ckpt", mutator=mutate_zip))
