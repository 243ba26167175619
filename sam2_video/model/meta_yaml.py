"""Meta's model YAML, read and written as data: nothing that it names is imported or called."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from loguru import logger

from sam2_video.configuration import Entry, Problem, nearest, read_yaml, shown
from sam2_video.model.architecture import (
    ARCHITECTURES,
    MICRO,
    SIDE_MULTIPLE,
    Architecture,
    find_architecture,
)
from sam2_video.model.meta_keys import MODEL, flatten_keys, meta_keys
from sam2_video.model.meta_rules import DEFAULTS, ELSEWHERE, FREE, ONLY, TARGETS, TRAINING, TRUNK

_IMAGE_SIZE, _WIDTH = "model.image_size", "model.image_encoder.neck.d_model"
_TARGET = "model._target_"
_IGNORED = {*TRAINING, *ELSEWHERE, _IMAGE_SIZE, _TARGET}


@dataclass(frozen=True)
class MetaModel:
    """What Meta's YAML describes; Meta's frames are squares of `side` pixels."""

    architecture: Architecture
    side: int


def read_architecture(config_path: str) -> Architecture:
    """Return the architecture of a name or of Meta's YAML.

    Raises:
        FileNotFoundError: a `.yaml` path without a file whose name is no architecture either.
        ValueError: the YAML describes no SAM 2 that our network can be.
    """
    path = Path(config_path)
    if path.suffix not in (".yaml", ".yml"):
        return find_architecture(config_path)
    if not path.exists():
        try:
            return find_architecture(path.stem)
        except ValueError as error:
            raise FileNotFoundError(f"model.config_path: {path} does not exist") from error
    return read_meta_yaml(path).architecture


def read_meta_yaml(path: Path) -> MetaModel:
    """Read the YAML of one of Meta's models; every key is understood, or refused by name.

    Raises:
        ValueError: names every key that is unknown, or whose value our network cannot stand for,
            at once.
    """
    entries, problems = read_yaml(path, has_any_sections=True)
    if problems:
        raise _refuse(path, problems, entries)
    if any(key.startswith(("trainer.", "scratch.")) for key in entries):
        raise ValueError(
            f"{path}: a recipe of Meta's trainer; expected the YAML of the model itself, such as "
            "sam2/configs/sam2.1/sam2.1_hiera_b+.yaml, or its name, such as sam2.1-base-plus"
        )
    if not any(key.startswith(f"{MODEL}.") for key in entries):
        raise ValueError(f"{path}: expected Meta's keys, such as model.image_encoder.trunk")
    values = DEFAULTS | {key: entry.value for key, entry in entries.items()}
    architecture, problems = _derive(values, path.stem)
    known = flatten_keys(meta_keys(architecture, SIDE_MULTIPLE))
    faulty = {problem.path for problem in problems}
    problems += [p for p in _compare(values, known) if p.path not in faulty]
    names = {*known, *ONLY, *_IGNORED}
    problems += [_unknown(key, names) for key in entries if key not in names]
    if problems:
        raise _refuse(path, problems, entries)
    rates = {f"{key.rpartition('.')[2]} {values[key]}" for key in TRAINING if values.get(key)}
    if rates:
        logger.info(
            f"{path.name}: {', '.join(sorted(rates))} not taken over: dropout in training is "
            "model.memory_attention_dropout, and drop path is left out"
        )
    return MetaModel(architecture, values[_IMAGE_SIZE])


def dump_meta_yaml(architecture: Architecture, side: int) -> str:
    """Return the YAML from which Meta's `build_sam2` makes this model for `side` pixels."""
    head = f"# @package _global_\n# {architecture.name} at {side} x {side} px\n"
    if architecture == MICRO:
        head += "# for sam2-video: Meta's code cannot build a mask decoder this small\n"
    keys = meta_keys(architecture, side)
    return head + yaml.safe_dump(keys, sort_keys=False, default_flow_style=None, width=100)


def _derive(values: Mapping[str, Any], name: str) -> tuple[Architecture, list[Problem]]:
    """Return the architecture that the free keys describe, and what is wrong with them."""
    base = MICRO if values.get(_WIDTH) == MICRO.hidden_size else ARCHITECTURES["sam2.1-tiny"]
    taken: dict[str, Any] = {}
    problems = []
    for key, field in FREE.items():
        value = values.get(key)
        expected = _expected(field, getattr(base, field), value)
        if expected is None:
            taken[field] = tuple(value) if isinstance(value, list) else value
        else:
            problems.append(_wrong(key, value, expected))
    architecture = replace(base, name=name, **taken)
    if architecture.embed_dim % architecture.num_heads:
        expected = f"a divisor of embed_dim, {architecture.embed_dim}"
        problems.append(_wrong(f"{TRUNK}.num_heads", architecture.num_heads, expected))
    depth, blocks = sum(architecture.blocks_per_stage), architecture.global_attention_blocks
    if any(block >= depth for block in blocks):
        expected = f"numbers of blocks, below {depth}"
        problems.append(_wrong(f"{TRUNK}.global_att_blocks", list(blocks), expected))
    same = (x for x in ARCHITECTURES.values() if replace(architecture, name=x.name) == x)
    return next(same, architecture), problems


def _expected(field: str, example: object, value: object) -> str | None:
    """Return what a free key expects, or None where the value is of the example's kind."""
    if isinstance(example, bool):
        return None if isinstance(value, bool) else "true or false"
    if isinstance(example, int):
        return None if _is_count(value) else "a whole number >= 1"
    assert isinstance(example, tuple)
    is_right = isinstance(value, list) and all(_is_count(item) for item in value)
    if field == "global_attention_blocks":
        return None if is_right else "whole numbers >= 1"
    is_right = is_right and isinstance(value, list) and len(value) == len(example)
    return None if is_right else f"{len(example)} whole numbers >= 1"


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _compare(values: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the keys whose value is not the one that our network stands for."""
    side = values[_IMAGE_SIZE]
    if not _is_count(side) or side % SIDE_MULTIPLE:
        yield _wrong(_IMAGE_SIZE, side, f"a multiple of {SIDE_MULTIPLE}")
    target = values.get(_TARGET)
    if target not in TARGETS:
        yield _wrong(_TARGET, target, f"one of {', '.join(TARGETS)}")
    compared = {key: expected for key, expected in known.items() if key not in _IGNORED}
    for key in sorted(compared.keys() - values.keys()):
        yield Problem(key, f"missing; expected {shown(compared[key])}")
    for key, expected in (compared | ONLY).items():
        if key in values and not _is_same(values[key], expected):
            yield _wrong(key, values[key], shown(expected))


def _is_same(value: object, expected: object) -> bool:
    """Compare as YAML means it: 20 is 20.0, but 1 is not true."""
    return value == expected and isinstance(value, bool) == isinstance(expected, bool)


def _wrong(key: str, value: object, expected: str) -> Problem:
    return Problem(key, f"got {shown(value)}; expected {expected}")


def _unknown(key: str, known: Iterable[str]) -> Problem:
    close = nearest(key, known)
    return Problem(key, "no such key" + (f"; perhaps you meant {close}" if close else ""))


def _refuse(path: Path, problems: Sequence[Problem], entries: Mapping[str, Entry]) -> ValueError:
    """Return the error that names all problems, each with its line of the file."""
    lines = []
    for problem in problems:
        entry = entries.get(problem.path)
        where = f" [{entry.source}]" if entry is not None and not problem.source else ""
        # the path stands once, before them all
        lines.append(f"{problem}{where}".replace(f"{path}, line", "line").removeprefix(f"{path}: "))
    count = "" if len(lines) == 1 else f"{len(lines)} faults:\n  "
    return ValueError(f"model.config_path: {path}: " + count + "\n  ".join(lines))
