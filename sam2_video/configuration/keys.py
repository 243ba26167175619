"""Every configuration key as one flat list, read off the dataclasses."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from difflib import SequenceMatcher
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from sam2_video.config import TrainConfig

_RELATIONS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
_TYPES = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
_PLURALS = {
    int: "whole numbers",
    float: "numbers",
    str: "texts",
    list[int]: "lists of whole numbers",
    list[float]: "lists of numbers",
}


@dataclass(frozen=True)
class Key:
    """One setting: its dotted path, type, only default, comment and numeric limits."""

    path: str
    type: Any
    default: Any
    comment: str
    limits: Mapping[str, int | float]

    @property
    def name(self) -> str:
        """Return the last part of the path."""
        return self.path.rpartition(".")[2]

    @property
    def parts(self) -> tuple[Any, ...]:
        """Return the members of the type's union, or the type alone."""
        is_union = get_origin(self.type) in (Union, UnionType)
        return get_args(self.type) if is_union else (self.type,)

    @property
    def is_list(self) -> bool:
        """Return whether the value is a list."""
        return any(get_origin(part) is list for part in self.parts)

    @property
    def item(self) -> Any:  # noqa: ANN401 (a type)
        """Return the dataclass of which the value is a list, if it is."""
        inner = [get_args(part)[0] for part in self.parts if get_origin(part) is list]
        return next((owner for owner in inner if is_dataclass(owner)), None)

    @property
    def is_mapping(self) -> bool:
        """Return whether the value is a mapping of names."""
        return any(get_origin(part) is dict for part in self.parts)

    @property
    def is_text(self) -> bool:
        """Return whether every value but null is text."""
        return all(
            part in (str, NoneType)
            or (get_origin(part) is Literal and all(isinstance(x, str) for x in get_args(part)))
            for part in self.parts
        )

    @property
    def can_be_off(self) -> bool:
        """Return whether `off` is a value, which YAML reads as false where it has no quotes."""
        return any(get_origin(part) is Literal and "off" in get_args(part) for part in self.parts)

    @property
    def allows_null(self) -> bool:
        """Return whether null is a value."""
        return NoneType in self.parts

    @property
    def expected(self) -> str:
        """Say in words which values are accepted.

        >>> KEYS["trainer.early_stopping"].expected
        'a whole number >= 1 or null'
        """
        return " or ".join(self._describe(part) for part in self.parts)

    def _describe(self, part: Any) -> str:  # noqa: ANN401 (a type)
        if part is NoneType:
            return "null"
        if get_origin(part) is Literal:
            values = [str(value) for value in get_args(part)]
            return values[0] if len(values) == 1 else "one of " + ", ".join(values)
        if get_origin(part) is list:
            inner = get_args(part)[0]
            plural = "mappings {key: value, ...}" if is_dataclass(inner) else _PLURALS[inner]
            return "a list of " + plural
        if get_origin(part) is dict:
            return "a mapping {name: number, ...}"
        limits = [f"{_RELATIONS[name]} {limit}" for name, limit in self.limits.items()]
        return " ".join([_TYPES[part], " and ".join(limits)]).strip()


def _keys_of(owner: type, default: Any, prefix: str) -> list[Key]:  # noqa: ANN401 (a dataclass)
    types = get_type_hints(owner)
    keys = []
    for entry in fields(owner):
        value = getattr(default, entry.name)
        path = prefix + entry.name
        if is_dataclass(value):
            keys += _keys_of(type(value), value, path + ".")
        else:
            meta = entry.metadata
            keys.append(Key(path, types[entry.name], value, meta["comment"], meta["limits"]))
    return keys


KEYS: dict[str, Key] = {key.path: key for key in _keys_of(TrainConfig, TrainConfig(), "")}

SECTIONS: dict[str, type] = {
    entry.name: type(getattr(TrainConfig(), entry.name))
    for entry in fields(TrainConfig)
    if is_dataclass(getattr(TrainConfig(), entry.name))
}


def keys_of_item(key: Key, place: int) -> dict[str, Key]:
    """Return the keys of one item of a list of settings, by their names.

    >>> keys_of_item(KEYS["dataset.more"], 1)["weight"].path
    'dataset.more[1].weight'
    """
    assert key.item is not None
    keys = _keys_of(key.item, key.item(), f"{key.path}[{place}].")
    return {item_key.name: item_key for item_key in keys}


def flatten(config: TrainConfig) -> dict[str, Any]:
    """Return the value of every key by its dotted path."""
    values = {}
    for path in KEYS:
        section, _, name = path.rpartition(".")
        values[path] = getattr(getattr(config, section) if section else config, name)
    return values


def assemble(values: Mapping[str, Any]) -> TrainConfig:
    """Build the configuration from values by dotted path; absent keys take their defaults."""
    nested: dict[str, dict[str, Any]] = {"": {}} | {section: {} for section in SECTIONS}
    for path, value in values.items():
        section, _, name = path.rpartition(".")
        nested[section][name] = value
    sections = {name: owner(**nested[name]) for name, owner in SECTIONS.items()}
    return TrainConfig(**sections, **nested[""])


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate most like a mistyped dotted name, or None where nothing is close.

    The last part decides, the section breaks ties, so a right name in a wrong section is found.

    >>> nearest("lr", KEYS), nearest("trainer.batchsize", KEYS)
    ('trainer.lr', 'dataset.batch_size')
    """
    section, _, last = name.rpartition(".")

    def likeness(candidate: str) -> tuple[float, float]:
        other_section, _, other_last = candidate.rpartition(".")
        return (
            SequenceMatcher(None, last, other_last).ratio(),
            SequenceMatcher(None, section, other_section).ratio(),
        )

    best = max(candidates, key=likeness, default=None)
    # 0.6 is difflib's own bound of "close".
    return best if best is not None and likeness(best)[0] >= 0.6 else None
