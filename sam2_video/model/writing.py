"""Checkpoints into files: under a temporary name, read back, compared, and only then renamed."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sam2_video.files import whole
from sam2_video.model.adapters import merged_state
from sam2_video.model.architecture import Architecture
from sam2_video.model.checkpoint import read_weights
from sam2_video.model.keymap import to_meta
from sam2_video.model.meta_yaml import dump_meta_yaml, read_meta_yaml


def write_meta(network: nn.Module, path: Path) -> None:
    """Write the weights as Meta's predictor loads them, whole or not at all, and verify them.

    Adapters are added into them.

    Raises:
        ValueError: what was read back differs from what was written.
    """
    state = {name: tensor.cpu() for name, tensor in merged_state(network).items()}
    with whole(path, sum(tensor.nbytes for tensor in state.values())) as part:
        save_meta(state, part)


def save_meta(state: Mapping[str, Tensor], path: Path) -> None:
    """Write a transformers state dict as Meta's `.pt`, and compare what is read back.

    Raises:
        ValueError: it differs.
    """
    save_tensors({"model": to_meta(state)}, path)
    compare(state, path)


def save_tensors(content: Mapping[str, Any], path: Path) -> None:
    """Write plain values and tensors as `torch.save` does.

    Raises:
        OSError: the file cannot be written, such as on a full disk.
    """
    with path.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:
            # all that torch says of a full disk is that an assertion of its own failed
            if isinstance(error.__context__, OSError):
                raise error.__context__ from error
            raise


def write_meta_yaml(architecture: Architecture, side: int, path: Path) -> None:
    """Write the YAML that Meta's code builds this model from, whole or not at all."""
    with whole(path) as part:
        save_meta_yaml(architecture, side, part)


def save_meta_yaml(architecture: Architecture, side: int, path: Path) -> None:
    """Write Meta's YAML, and compare what is read back.

    Raises:
        ValueError: it differs.
    """
    path.write_text(dump_meta_yaml(architecture, side), encoding="utf-8")
    again = read_meta_yaml(path)
    # an architecture without a name of its own is called after its file
    if again.side != side or replace(again.architecture, name=architecture.name) != architecture:
        raise ValueError(f"{path}: what was read back differs from what was written; not kept")


def compare(state: Mapping[str, Tensor], path: Path) -> None:
    """Compare a state dict with what a file holds, bit for bit.

    Raises:
        ValueError: they differ; names the first tensors that do.
    """
    again = read_weights(str(path)).for_network()
    different = sorted(state.keys() ^ again.keys())
    different += [
        name for name in state.keys() & again.keys() if not _same(state[name], again[name])
    ]
    if different:
        raise ValueError(
            f"{path}: what was read back differs from what was written, in {len(different)} "
            f"tensors, such as {different[0]}; not kept"
        )


def _same(one: Tensor, other: Tensor) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    # bits, for which a NaN is itself and 0 is not -0
    return torch.equal(*(x.contiguous().reshape(-1).view(torch.uint8) for x in (one, other)))
