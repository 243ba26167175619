"""Merge defaults, YAML and given values into one checked configuration."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sam2_video.config import TrainConfig
from sam2_video.configuration.checks import check_training, check_values
from sam2_video.configuration.keys import KEYS, SECTIONS, assemble, nearest
from sam2_video.configuration.problems import ConfigurationError, Entry, Problem
from sam2_video.configuration.values import read_value
from sam2_video.configuration.yaml_reader import read_yaml

_KEYWORDS = {
    "data": "dataset.data_path",
    "checkpoint": "model.checkpoint_path",
    "out": "output_dir",
}
_PYTHON = "given in Python"


def load_config(
    path: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    ready_to_train: bool = False,
) -> TrainConfig:
    """Load a configuration: defaults < the YAML file < `overrides` by dotted path.

    Args:
        path: A YAML file, or None for the defaults.
        overrides: Values by dotted path, such as `{"trainer.lr": 1e-4}`.
        ready_to_train: Ask as well that data and weights are there.

    Raises:
        ConfigurationError: Names every fault of the file and of the overrides at once.
    """
    entries, problems = read_yaml(path) if path is not None else ({}, [])
    given = {key: Entry(_plain(value), _PYTHON) for key, value in (overrides or {}).items()}
    return resolve(entries | given, problems, ready_to_train=ready_to_train)


def config_from_keywords(
    config: str | os.PathLike[str] | None = None,
    *,
    ready_to_train: bool = True,
    **keywords: Any,  # noqa: ANN401 (any setting)
) -> TrainConfig:
    """Load a configuration from the keywords of `sam2_video.train`, by default one that can train.

    A keyword is a key (`max_epochs=50`), a section (`trainer={"lr": 1e-4}`), or one of `data`,
    `checkpoint` and `out`; `config` is a YAML file below them.

    Raises:
        ConfigurationError: Names every fault at once, unknown keywords with the nearest name.
    """
    entries, problems = read_yaml(Path(config)) if config is not None else ({}, [])
    by_name: dict[str, list[str]] = {name: [path] for name, path in _KEYWORDS.items()}
    for path, key in KEYS.items():
        by_name.setdefault(key.name, []).append(path)
    given: dict[str, Entry] = {}
    for name, value in keywords.items():
        paths = by_name.get(name, [])
        if name in SECTIONS and isinstance(value, Mapping):
            for inner, inner_value in value.items():
                given[f"{name}.{inner}"] = Entry(_plain(inner_value), _PYTHON)
        elif len(paths) > 1:
            where = " or ".join(f"{path.replace('.', '=dict(')}=...)" for path in paths)
            problems.append(Problem(name, f"in several sections; write {where}", _PYTHON))
        elif paths or name in KEYS:
            path = paths[0] if paths else name
            if path in given:
                problems.append(Problem(name, f"gives {path} a second time", _PYTHON))
            given[path] = Entry(_plain(value), _PYTHON)
        else:
            problems.append(_unknown(name, _PYTHON, [*by_name, *SECTIONS]))
    return resolve(entries | given, problems, ready_to_train=ready_to_train)


def resolve(
    entries: Mapping[str, Entry],
    problems: Sequence[Problem] = (),
    *,
    ready_to_train: bool = False,
) -> TrainConfig:
    """Check given values, already merged, and fill the rest with defaults.

    Raises:
        ConfigurationError: Names `problems`, found before, and every fault found here.
    """
    found = list(problems)
    values: dict[str, Any] = {}
    faulty: set[str] = set()
    for path, entry in entries.items():
        if path not in KEYS:
            found.append(_unknown(path, entry.source, [*KEYS, *SECTIONS]))
            continue
        values[path], wrong = read_value(KEYS[path], entry)
        faulty |= {problem.path for problem in wrong}
        found += wrong
    config = assemble(values)
    checks = [*check_values(config), *(check_training(config) if ready_to_train else ())]
    for problem in checks:
        if not {problem.path, problem.path.rpartition(".")[0]} & faulty:
            entry = entries.get(problem.path.partition("[")[0])
            found.append(replace(problem, source=entry.source if entry else "default"))
    if found:
        raise ConfigurationError(found)
    return config


def _unknown(name: str, source: str, candidates: Sequence[str]) -> Problem:
    close = nearest(name, candidates)
    if name in SECTIONS:
        return Problem(name, f"a section; expected keys below it, such as {name}.{{key}}", source)
    section = name.rpartition(".")[0]
    known = [path.rpartition(".")[2] for path in KEYS if path.startswith(f"{section}.")]
    if close is not None:
        message = f"no such key; perhaps you meant {close}"
    elif known:
        message = f"no such key; {section} has {', '.join(known)}"
    else:
        message = f"no such key; there are {', '.join(candidates)}"
    return Problem(name, message, source)


def _plain(value: Any) -> Any:  # noqa: ANN401 (any value that a caller gives)
    """Return a value given in Python as YAML would hold it: no Path, no tuple."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return value
