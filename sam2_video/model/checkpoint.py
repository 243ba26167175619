"""Weights in and out: Meta's `.pt`, transformers folders and hub ids, and our own checkpoints."""

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers.utils import cached_file

from sam2_video.model.architecture import ARCHITECTURES, Architecture, find_architecture
from sam2_video.model.keymap import from_meta, to_meta

LIGHTNING_PREFIX = "model.network."
"""Where a training checkpoint keeps the network: LightningModule.model (SAM2Model).network."""


def read_weights(source: str) -> dict[str, Tensor]:
    """Return the weights of a checkpoint under transformers' names, on the CPU.

    Args:
        source: Meta's `.pt` / our `.pth` ({"model": ...}), our `.ckpt`, a `.safetensors` file, a
            folder that transformers saved, or a hub id.

    Raises:
        FileNotFoundError: no such file or folder, and not a hub id that is at hand.
        ValueError: not a checkpoint, or one that holds other things than tensors.
    """
    path = Path(source)
    if path.is_dir():
        return _read_tensors(path / "model.safetensors")
    if path.is_file():
        return _read_tensors(path)
    if path.suffix or path.is_absolute() or source.count("/") != 1:
        raise FileNotFoundError(f"model.checkpoint_path: no file or folder at {source}")
    try:
        found = cached_file(source, "model.safetensors")
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise FileNotFoundError(
            f"model.checkpoint_path: {source} is neither a file nor a hub id that can be had "
            f"({reason})"
        ) from error
    return _read_tensors(Path(str(found)))


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f"model.checkpoint_path: {path} does not exist")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path}: not a readable safetensors file ({error})") from error
    # torch reads anything else as a bare pickle, and fails in a new way on every kind of text
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: not a checkpoint that torch.save wrote, or only a part of one")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{path}: not a checkpoint of plain tensors; nothing in it was run ({reason})"
        ) from error
    return _find_state(content, path)


def _find_state(content: object, path: Path) -> dict[str, Tensor]:
    """Return the network's tensors wherever this kind of file keeps them."""
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        state = {
            name.removeprefix(LIGHTNING_PREFIX): tensor
            for name, tensor in content["state_dict"].items()
            if name.startswith(LIGHTNING_PREFIX)
        }
        rename = dict
    else:
        state = content.get("model") if isinstance(content, Mapping) else None
        rename = from_meta
    if not state or not isinstance(state, Mapping) or not _holds_tensors(state):
        raise ValueError(
            f'{path}: expected {{"model": weights}} as Meta saves them, or a training checkpoint'
        )
    return rename(state)


def _holds_tensors(state: Mapping[str, object]) -> bool:
    return all(isinstance(value, Tensor) for value in state.values())


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], source: str) -> int:
    """Copy weights into the network, all of them, and return how many tensors matched.

    Raises:
        ValueError: a tensor is missing, unknown, or of another shape; lists the first of them.
    """
    own = network.state_dict()
    missing = sorted(set(own) - set(weights))
    unknown = sorted(set(weights) - set(own))
    shapes = [
        f"{name} {tuple(weights[name].shape)} instead of {tuple(own[name].shape)}"
        for name in sorted(set(own) & set(weights))
        if own[name].shape != weights[name].shape
    ]
    if missing or unknown or shapes:
        matched = len(set(own) & set(weights)) - len(shapes)
        raise ValueError(
            f"{source}: {matched} of {len(own)} tensors match this architecture; "
            f"missing {len(missing)}{_first(missing)}, unknown {len(unknown)}{_first(unknown)}, "
            f"other shape {len(shapes)}{_first(shapes)}; see model.config_path"
        )
    network.load_state_dict(weights)
    return len(own)


def _first(names: list[str]) -> str:
    return f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else ""


def detect_architecture(weights: Mapping[str, Tensor], source: str) -> Architecture:
    """Return the architecture whose shapes these weights have.

    Raises:
        ValueError: none has them.
    """
    blocks = {
        int(name.split(".")[3]) for name in weights if name.startswith("vision_encoder.backbone.bl")
    }
    projection = weights.get("vision_encoder.backbone.patch_embed.projection.weight")
    has_occlusion = "occlusion_spatial_embedding_parameter" in weights
    for architecture in ARCHITECTURES.values():
        if (
            projection is not None
            and projection.shape[0] == architecture.embed_dim
            and len(blocks) == sum(architecture.blocks_per_stage)
            and has_occlusion == architecture.has_occlusion_embedding
        ):
            return architecture
    raise ValueError(
        f"{source}: the weights fit none of {', '.join(ARCHITECTURES)}; give model.config_path"
    )


def read_architecture(config_path: str) -> Architecture:
    """Return the architecture of a name or of Meta's YAML, which is read as data.

    Raises:
        FileNotFoundError: a `.yaml` path without a file whose name is no architecture either.
        ValueError: the YAML describes no known SAM 2.
    """
    path = Path(config_path)
    if path.suffix not in (".yaml", ".yml"):
        return find_architecture(config_path)
    if not path.is_file():
        try:
            return find_architecture(path.stem)
        except ValueError as error:
            raise FileNotFoundError(f"model.config_path: {path} does not exist") from error
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not readable as plain YAML ({error})") from error
    try:
        model = content["model"]
        trunk = model["image_encoder"]["trunk"]
        embed_dim = trunk["embed_dim"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected Meta's keys model.image_encoder.trunk") from error
    # base-plus leaves Hiera's own default
    stages = tuple(trunk.get("stages", ARCHITECTURES["sam2.1-base-plus"].blocks_per_stage))
    for architecture in ARCHITECTURES.values():
        if (
            architecture.embed_dim == embed_dim
            and architecture.blocks_per_stage == stages
            and architecture.has_occlusion_embedding == bool(model.get("no_obj_embed_spatial"))
        ):
            return architecture
    raise ValueError(
        f"{path}: no SAM 2 has embed_dim {embed_dim} and stages {list(stages)}; expected one of "
        f"{', '.join(ARCHITECTURES)}"
    )


def write_meta(network: nn.Module, path: Path) -> None:
    """Write the weights as Meta's predictor loads them, whole or not at all, and verify them.

    Raises:
        ValueError: what was read back differs from what was written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    part = path.with_name(f".{path.name}.part")
    try:
        torch.save({"model": to_meta(state)}, part)
        again = read_weights(str(part))
        if set(again) != set(state) or not all(torch.equal(again[k], state[k]) for k in state):
            raise ValueError(f"{path}: what was read back differs from what was written; not kept")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
