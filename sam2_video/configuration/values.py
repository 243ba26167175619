"""Check one given value against its key, without making another of it silently."""

# ruff: noqa: ANN401 (any value that a user gave)

from collections.abc import Callable, Mapping
from copy import copy
from functools import cache, reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from sam2_video.configuration.keys import Key, keys_of_item, nearest
from sam2_video.configuration.problems import Entry, Problem, shown


def read_value(key: Key, entry: Entry) -> tuple[Any, list[Problem]]:
    """Return a value as the configuration holds it, and what is wrong with it.

    A faulty value leaves its default behind, so that the others are still checked.
    """
    if key.item is not None and isinstance(entry.value, list):
        return _read_items(key, entry.value, entry.source)
    try:
        accepted = _validator(key.type, tuple(key.limits.items()))(_as_written(key, entry.value))
    except ValidationError:
        return copy(key.default), [Problem(key.path, _wrong_value(key, entry.value), entry.source)]
    return _expand(key, accepted), []


def _read_items(key: Key, values: list[Any], source: str) -> tuple[list[Any], list[Problem]]:
    """Return a list of settings, such as `dataset.more`, each of whose keys is checked alone."""
    items: list[Any] = []
    problems: list[Problem] = []
    owner = key.item
    assert owner is not None
    for place, value in enumerate(values):
        if isinstance(value, owner):
            items.append(value)
            continue
        keys = keys_of_item(key, place)
        path = f"{key.path}[{place}]"
        if not isinstance(value, Mapping):
            expected = f"keys and values, such as {{{next(iter(keys))}: ...}}"
            problems.append(Problem(path, f"got {shown(value)}; expected {expected}", source))
            items.append(owner())
            continue
        fields = {}
        for name, given in value.items():
            if name in keys:
                fields[name], wrong = read_value(keys[name], Entry(given, source))
                problems += wrong
            else:
                close = nearest(str(name), keys)
                hint = f"perhaps you meant {close}" if close else f"there are {', '.join(keys)}"
                problems.append(Problem(f"{path}.{name}", f"no such key; {hint}", source))
        items.append(owner(**fields))
    return items, problems


@cache
def _validator(kind: Any, limits: tuple[tuple[str, Any], ...]) -> Callable[[Any], Any]:
    """Return a strict validator: no number from text, no 1 for true."""
    named = dict(limits)
    limited = Field(ge=named.get("ge"), gt=named.get("gt"), le=named.get("le"), lt=named.get("lt"))
    # Empty text is what a shell makes of an unset variable; as a path it would be this folder.
    constraints = {int: limited, float: limited, str: Field(min_length=1)}
    parts = Key("", kind, None, "", {}).parts
    accepted: Any = reduce(
        or_, [Annotated[x, constraints[x]] if x in constraints else x for x in parts]
    )
    config = ConfigDict(strict=True, allow_inf_nan=False)
    return TypeAdapter(accepted, config=config).validate_python


def _wrong_value(key: Key, value: Any) -> str:
    message = f"got {shown(value)}; expected {key.expected}"
    # A project called 2024 or a folder called `on`: YAML reads a number, or true.
    hint = "; write it in quotes" if key.is_text and isinstance(value, bool | int | float) else ""
    return message + hint


def _as_written(key: Key, value: Any) -> Any:
    """Return `off` where YAML has read it as false, for a key that has no other use for false."""
    return "off" if value is False and key.can_be_off else value


def _expand(key: Key, value: Any) -> Any:
    """Replace a leading ~ of a path, which a shell does on the command line but not in YAML."""
    is_path = key.name.endswith(("_path", "_dir")) or key.name == "resume"
    if is_path and isinstance(value, str) and value.startswith("~/"):
        return str(Path(value).expanduser())
    return value
