"""A checkpoint in the form of another tool: Meta's, transformers', or one safetensors file."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from loguru import logger

from sam2_video.configuration import load_config
from sam2_video.files import whole
from sam2_video.model.architecture import build_network, check_image_size
from sam2_video.model.checkpoint import Weights, check_weights, find_files, read_weights
from sam2_video.model.detect import detect_architecture
from sam2_video.model.facts import ModelFacts
from sam2_video.model.folder import is_folder, read_folder_size, save_folder, save_safetensors
from sam2_video.model.meta_yaml import MetaModel, read_architecture, read_meta_yaml
from sam2_video.model.writing import save_meta, save_meta_yaml

NATIVE_SIZE = (1024, 1024)
"""What Meta trained at: taken where nothing tells the image size."""

_FILES = {"meta": (".pt", ".pth"), "safetensors": (".safetensors",)}
_EXPECTED = {
    "meta": "a file such as model.pt, beside which its YAML is written",
    "transformers": "a folder",
    "safetensors": "a file such as model.safetensors",
}


@dataclass(frozen=True)
class Exported:
    """What was written, read back and found equal: files or a folder, and of which model."""

    paths: tuple[Path, ...]
    facts: ModelFacts
    num_tensors: int


def export(
    checkpoint: str | os.PathLike[str],
    to: str,
    out: str | os.PathLike[str],
    config: str | os.PathLike[str] | None = None,
    image_size: Sequence[int] | None = None,
    *,
    overwrite: bool = False,
) -> Exported:
    """Write any checkpoint that loads in the form of another tool, whole or not at all.

    Shapes, dtypes and values stay as they are, to the last bit: what is written is read back and
    compared before it takes its name.

    Args:
        checkpoint: whatever `SAM2Model.load` takes: a run's `best_model.pth` or `.ckpt`, Meta's
            `.pt`, a folder, a hub id.
        to: `meta` = `.pt` with Meta's YAML beside it, `transformers` = a folder for
            `from_pretrained`, `safetensors` = one file under transformers' names.
        out: the file or folder to write.
        config: an architecture's name or Meta's YAML; None = as the checkpoint tells.
        image_size: height, width that the files speak of; None = as the checkpoint, or the run
            that it is of, tells. The weights serve every size.
        overwrite: replace what an earlier export has written there.

    Raises:
        FileNotFoundError: no such checkpoint.
        ValueError: it is none, or does not fit; something is at `out`; or `out` cannot be written.
    """
    target = Path(out)
    paths = _check_target(to, target, overwrite=overwrite)
    weights = read_weights(os.fspath(checkpoint))
    size = None if image_size is None else _check_size(tuple(image_size))
    facts = find_facts(weights, None if config is None else os.fspath(config), size)
    if to != "safetensors" and facts.image_size[0] != facts.image_size[1]:
        raise ValueError(
            f"image_size: got {list(facts.image_size)}; {to} takes square frames only: give "
            "--image-size SIDE SIDE (the weights serve every size), or --to safetensors"
        )
    with torch.device("meta"):
        own = build_network(facts.architecture, facts.image_size).state_dict()
    num_tensors = check_weights(own, weights)
    try:
        _write(weights, to, facts, paths)
    except OSError as error:
        raise ValueError(
            f"out: cannot write {target} ({error.strerror or error}), and nothing is left of it; "
            "make room, or give another --out"
        ) from error
    return Exported(paths, facts, num_tensors)


def _check_target(to: str, out: Path, *, overwrite: bool) -> tuple[Path, ...]:
    """Return the paths to write, none of which holds anything that must stay.

    Raises:
        ValueError: an unknown form, a name of another form, or something is there.
    """
    if to not in _EXPECTED:
        raise ValueError(f"to: got {to!r}; expected one of {', '.join(_EXPECTED)}")
    is_file_name = out.suffix in (".pt", ".pth", ".ckpt", ".yaml", ".safetensors")
    if is_file_name if to == "transformers" else out.suffix not in _FILES[to]:
        raise ValueError(f"out: got {str(out)!r}; --to {to} writes {_EXPECTED[to]}")
    paths = (out, out.with_suffix(".yaml")) if to == "meta" else (out,)
    for path in paths:
        is_own_kind = is_folder(path) if to == "transformers" else path.is_file()
        if path.exists() and not is_own_kind:
            raise ValueError(f"out: {path} is there and no earlier export; give another --out")
        if path.exists() and not overwrite:
            raise ValueError(f"out: {path} is there; give another --out, or --overwrite")
    return paths


def _check_size(image_size: tuple[int, ...]) -> tuple[int, int]:
    if len(image_size) != 2:
        raise ValueError(f"image_size: got {list(image_size)}; expected height and width")
    check_image_size((image_size[0], image_size[1]))
    return image_size[0], image_size[1]


def find_facts(
    weights: Weights, config: str | None, image_size: tuple[int, int] | None
) -> ModelFacts:
    """Return architecture and image size: as given, else as the checkpoint or its run tells."""
    yaml = _yaml_beside(weights.source)
    if config is not None:
        architecture = read_architecture(config)
    elif weights.facts is None and yaml is not None:
        architecture = yaml.architecture
    else:
        architecture = detect_architecture(weights)
    size = image_size or _find_size(weights, yaml)
    if size is None:
        size = NATIVE_SIZE
        logger.warning(
            f"{weights.source} does not tell its image size: taken as Meta's, {list(size)}; "
            "--image-size says another"
        )
    return ModelFacts(architecture, size)


def _yaml_beside(source: str) -> MetaModel | None:
    """Return what Meta's YAML of the same name says; another tool's file is none."""
    path = Path(source).with_suffix(".yaml")
    if not Path(source).is_file() or not path.is_file():
        return None
    is_metas = "image_encoder:" in path.read_text(encoding="utf-8", errors="replace")
    return read_meta_yaml(path) if is_metas else None


def _find_size(weights: Weights, yaml: MetaModel | None) -> tuple[int, int] | None:
    """Return the image size that a file, what lies beside it, or its run's settings tell."""
    if weights.facts is not None:
        return weights.facts.image_size
    if yaml is not None:
        return yaml.side, yaml.side
    path = find_files(weights.source)[0]
    # a run's folder: config.yaml, checkpoints/best_model.pth
    settings = path.parent.parent / "config.yaml"
    if path.parent.name == "checkpoints" and settings.is_file():
        height, width = load_config(settings).dataset.image_size
        return height, width
    return read_folder_size(path.parent) if path.suffix == ".safetensors" else None


def _write(weights: Weights, to: str, facts: ModelFacts, paths: tuple[Path, ...]) -> None:
    state = weights.for_network()
    with ExitStack() as stack:
        parts = [stack.enter_context(whole(path)) for path in paths]
        if to == "meta":
            save_meta(state, parts[0])
            save_meta_yaml(facts.architecture, facts.image_size[0], parts[1])
        elif to == "transformers":
            save_folder(state, facts, parts[0])
        else:
            save_safetensors(state, facts, parts[0])
