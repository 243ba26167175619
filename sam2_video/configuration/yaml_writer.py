"""Write a configuration as YAML with a comment on each key."""

import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml

from sam2_video.config import TrainConfig
from sam2_video.configuration.keys import KEYS, SECTIONS, flatten
from sam2_video.configuration.yaml_reader import Dumper
from sam2_video.files import write_text

_HEADER = """\
# Settings of a training run. A key that you delete keeps its default.
# Precedence: defaults < this file < command line (--section.key).
"""
_COMMENT_COLUMN = 36


def dump(config: TrainConfig) -> str:
    """Return every key of the configuration as YAML that `load_config` reads back unchanged."""
    lines = [_HEADER]
    section = ""
    for path, value in flatten(config).items():
        owner, _, name = path.rpartition(".")
        if owner != section:
            lines.append("")
        if owner and owner != section:
            lines += [f"# {SECTIONS[owner].__doc__}", f"{owner}:"]
        section = owner
        text = f"{'  ' if owner else ''}{name}: {_spell(value)}"
        lines.append(f"{text:<{_COMMENT_COLUMN}}  # {KEYS[path].comment}")
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def save(config: TrainConfig, path: Path) -> None:
    """Write the configuration to a file, whole or not at all."""
    write_text(path, dump(config))


def _spell(value: Any) -> str:  # noqa: ANN401 (any value of a setting)
    """Return a value on one line."""
    plain = _plain(value)
    # Only double quotes can keep line breaks and control characters on one line.
    is_plain = all(text.isprintable() for text in _texts(plain))
    line = yaml.dump(
        plain,
        Dumper=Dumper,
        default_flow_style=True,
        default_style=None if is_plain else '"',
        allow_unicode=True,
        width=sys.maxsize,
    )
    # PyYAML ends a plain scalar with a document end mark.
    return line.removesuffix("...\n").rstrip("\n")


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Return a value of lists and mappings; of an item's settings, those that differ."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not is_dataclass(value):
        return value
    default = type(value)()
    given = {entry.name: getattr(value, entry.name) for entry in fields(value)}
    return {name: item for name, item in given.items() if item != getattr(default, name)}


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401
    """Yield every text in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        yield from _texts([*value, *value.values()])
