"""Weights out of files: Meta's `.pt`, transformers folders and hub ids, our own checkpoints."""

import json
import pickle
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from loguru import logger
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers.utils import cached_file

from sam2_video.model.adapters import has_adapters, merge
from sam2_video.model.archive import find_bomb, is_plain
from sam2_video.model.facts import FACTS, ModelFacts, read_facts
from sam2_video.model.keymap import complete_twins, from_meta, is_meta, to_meta

LIGHTNING_PREFIX = "model.network."
"""Where a training checkpoint keeps the network: LightningModule.model (SAM2Model).network."""

ADAPTER_ALPHA = "adapter_alpha"
"""Where it keeps what the output of the network's adapters is scaled by, times their rank."""

_ONE_FILE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".safetensors")
_MEMORY = ("memory_attention.", "memory_encoder.")
# what torch's own unpickler raises, beside UnpicklingError, on a pickle that is no checkpoint
_DAMAGED = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    AssertionError,
    struct.error,
)


@dataclass(frozen=True)
class Weights:
    """The tensors of a checkpoint, under its own names; `facts` are what it says of its model."""

    source: str
    tensors: Mapping[str, Tensor]
    facts: ModelFacts | None = None

    @property
    def is_meta(self) -> bool:
        """Say whether the names are Meta's; else they are transformers'."""
        return is_meta(self.tensors)

    def for_network(self) -> dict[str, Tensor]:
        """Return the tensors under transformers' names."""
        return from_meta(self.tensors) if self.is_meta else dict(self.tensors)


def read_weights(source: str) -> Weights:
    """Read the weights of a checkpoint, to the CPU; adapters are added into them.

    Args:
        source: Meta's `.pt` / our `.pth` ({"model": ...}), our `.ckpt`, a `.safetensors` file with
            Meta's or transformers' names, a folder that transformers saved, or a hub id.

    Raises:
        FileNotFoundError: no such file or folder, and not a hub id that is at hand.
        ValueError: not a checkpoint, one that holds other things than tensors, or one of the image
            model alone.
    """
    tensors: dict[str, Tensor] = {}
    facts = None
    for path in find_files(source):
        found, facts = _read_file(path)
        tensors |= found
    if not is_meta(tensors):
        tensors = complete_twins(tensors)
    weights = Weights(source, tensors, facts)
    _refuse_image_model(weights)
    return weights


def find_files(source: str) -> list[Path]:
    """Return the files of a checkpoint: one, or the shards that a folder's index names.

    Raises:
        FileNotFoundError: no such file or folder, and not a hub id that is at hand.
        ValueError: the index is none.
    """
    path = Path(source)
    if path.is_file():
        return [path]
    if path.is_dir():
        if (path / _ONE_FILE).is_file():
            return [path / _ONE_FILE]
        if (path / _INDEX).is_file():
            return [path / name for name in _shards(path / _INDEX)]
        raise FileNotFoundError(
            f"model.checkpoint_path: {path} holds no {_ONE_FILE}; expected a folder that "
            "transformers saved, or a file, such as a run's checkpoints/best_model.pth"
        )
    if path.suffix in _SUFFIXES or path.is_absolute() or source.count("/") != 1:
        raise FileNotFoundError(f"model.checkpoint_path: no file or folder at {source}")
    return _find_on_hub(source)


def _find_on_hub(source: str) -> list[Path]:
    try:
        return [_fetch(source, _ONE_FILE)]
    except OSError as error:
        try:
            return [_fetch(source, name) for name in _shards(_fetch(source, _INDEX))]
        except OSError:
            reason = str(error).splitlines()[0]
            raise FileNotFoundError(
                f"model.checkpoint_path: {source} is neither a file nor a hub id that can be had "
                f"({reason})"
            ) from error


def _fetch(source: str, name: str) -> Path:
    return Path(str(cached_file(source, name)))


def _shards(index: Path) -> list[str]:
    """Return the names of the files that an index of transformers' spreads the tensors over."""
    names: set[str] = set()
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        # an index from elsewhere must not lead out of its folder
        is_plain = all(Path(name).name == name for name in names)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        is_plain = False
    if not is_plain:
        raise ValueError(f"{index}: expected `weight_map`: the file of each tensor")
    return sorted(names)


def _read_file(path: Path) -> tuple[dict[str, Tensor], ModelFacts | None]:
    if not path.is_file():
        raise FileNotFoundError(f"model.checkpoint_path: {path} does not exist")
    if path.suffix != ".safetensors":
        content = read_pickle(path)
        text = content.get(FACTS) if isinstance(content, Mapping) else None
        return _find_state(content, path), read_facts(text, str(path))
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path}: not a readable safetensors file ({error})") from error
    return tensors, read_facts(metadata.get(FACTS), str(path))


def read_pickle(path: Path, *, is_mapped: bool = False) -> object:
    """Read what torch.save wrote: plain values and tensors; code in the file is never run.

    Args:
        path: the file.
        is_mapped: leave tensors on the disk until they are looked at.

    Raises:
        ValueError: it is no such file.
    """
    # torch reads anything else as a bare pickle, and fails in a new way on every kind of text
    try:
        bomb = find_bomb(path)
    except (zipfile.BadZipFile, *_DAMAGED) as error:
        raise ValueError(
            f"{path}: not a checkpoint that torch.save wrote, or only a part of one"
        ) from error
    if bomb is not None:
        raise ValueError(
            f"{path}: not a checkpoint of plain tensors; nothing in it was run ({bomb})"
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_mapped)
    except _DAMAGED as error:
        # torch tells what is wrong below how to switch off what keeps us from running it
        text = str(error).rpartition("WeightsUnpickler error: ")[2].strip() or type(error).__name__
        reason = text.splitlines()[0].partition(". ")[0]
        raise ValueError(
            f"{path}: not a checkpoint of plain tensors; nothing in it was run ({reason})"
        ) from error


def _find_state(content: object, path: Path) -> dict[str, Tensor]:
    """Return the network's tensors wherever this kind of file keeps them."""
    state: object = content
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        state = {
            name.removeprefix(LIGHTNING_PREFIX): tensor
            for name, tensor in content["state_dict"].items()
            if isinstance(name, str) and name.startswith(LIGHTNING_PREFIX)
        }
    elif isinstance(content, Mapping) and "model" in content:
        state = content["model"]
    if not isinstance(state, Mapping) or not state or not _holds_tensors(state):
        raise ValueError(
            f'{path}: expected {{"model": weights}} as Meta saves them, or a training checkpoint'
        )
    if has_adapters(state):
        assert isinstance(content, Mapping)
        return _merge(state, content.get(ADAPTER_ALPHA), path)
    return dict(state)


def _merge(state: Mapping[str, Tensor], alpha: object, path: Path) -> dict[str, Tensor]:
    if not isinstance(alpha, float):
        raise ValueError(f"{path}: it holds adapters and does not tell their {ADAPTER_ALPHA}")
    try:
        merged = merge(state, alpha)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    logger.info(f"{len(state) - len(merged)} weights of adapters are added into those of {path}")
    return merged


def _holds_tensors(state: Mapping[object, object]) -> bool:
    return all(isinstance(n, str) and is_plain(x) for n, x in state.items())


def _refuse_image_model(weights: Weights) -> None:
    """Raise ValueError where everything around memory is missing, and the rest is SAM 2's."""
    names = weights.for_network()
    is_sam2 = any(name.startswith("vision_encoder.backbone.blocks.") for name in names)
    if not is_sam2 or any(name.startswith(_MEMORY) for name in names):
        return
    raise ValueError(
        f"{weights.source}: the weights of the image model alone (transformers' Sam2Model): all of "
        "memory_attention and memory_encoder is missing, without which no video is tracked; give "
        "the video model of the same size: Meta's .pt, or a folder or hub id that "
        "Sam2VideoModel.from_pretrained loads, such as facebook/sam2.1-hiera-tiny"
    )


def load_weights(network: nn.Module, weights: Weights) -> int:
    """Copy weights into the network, all of them, and return how many tensors matched.

    Raises:
        ValueError: a tensor is missing, unknown, or of another shape; lists the first of them.
    """
    number = check_weights(network.state_dict(), weights)
    network.load_state_dict(weights.for_network())
    return number


def check_weights(own: Mapping[str, Tensor], weights: Weights) -> int:
    """Compare weights with a network's own, and return how many tensors the file has.

    Raises:
        ValueError: names or shapes differ; counts them, and lists the first as the file has them.
    """
    expected = to_meta(own) if weights.is_meta else own
    given = weights.tensors
    missing = sorted(expected.keys() - given.keys())
    unknown = sorted(given.keys() - expected.keys())
    shapes = [
        f"{name} {tuple(given[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in sorted(expected.keys() & given.keys())
        if expected[name].shape != given[name].shape
    ]
    if missing or unknown or shapes:
        matched = len(expected.keys() & given.keys()) - len(shapes)
        raise ValueError(
            f"{weights.source}: {matched} of {len(expected)} tensors match this architecture; "
            f"missing {len(missing)}{_first(missing)}, unknown {len(unknown)}{_first(unknown)}, "
            f"other shape {len(shapes)}{_first(shapes)}; see model.config_path"
        )
    return len(expected)


def _first(names: Sequence[str]) -> str:
    return f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else ""
