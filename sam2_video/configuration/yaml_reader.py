"""Read YAML into values by dotted path, each with the line it stands on."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from sam2_video.configuration.keys import SECTIONS, Key
from sam2_video.configuration.problems import Entry, Problem

_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_MAPPING = "tag:yaml.org,2002:map"
_NULL = "tag:yaml.org,2002:null"
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
MOST_BYTES = 2**17
"""Of a file: a configuration that names every setting has a tenth of it."""
MOST_VALUES = 100_000
"""In a file whose aliases are written out: a few lines of aliases of aliases make billions."""
_MOST_DIGITS = 100
_MOST_DEPTH = 50
# YAML 1.1, and so PyYAML, wants a point and a signed exponent: it reads 1e-4 as text.
_EXPONENT_FLOAT = re.compile(r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$")


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader that reads 1e-4 as a number and leaves dates as text."""


class Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper that quotes what `Loader` would not read as text."""


for _class in (Loader, Dumper):
    _class.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    _class.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT_FLOAT, list("-+.0123456789"))


class _FaultyYAMLError(Exception):
    """A fault of the file's text: its line (0 = the whole file) and what is wrong."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


def read_yaml(
    path: Path, *, has_any_sections: bool = False
) -> tuple[dict[str, Entry], list[Problem]]:
    """Read a configuration file: its values by dotted path, and the faults of its text.

    Names and types are not checked here. An empty file, and a section without a value, are valid:
    everything keeps its default. Sections are those of the training configuration, or whatever
    has keys below it.
    """
    problems = []
    entries: dict[str, Entry] = {}
    try:
        for dotted, value, line in _leaves(_text_of(path), has_any_sections=has_any_sections):
            source = f"{path}, line {line}"
            if dotted in entries:
                message = f"given twice, first at {entries[dotted].source}; delete one"
                problems.append(Problem(dotted, message, source))
            else:
                entries[dotted] = Entry(value, source)
    except _FaultyYAMLError as fault:
        where = f"{path}, line {fault.line}" if fault.line else str(path)
        problems.append(Problem(where, fault.message))
    return entries, problems


def read_text(key: Key, texts: tuple[str, ...]) -> Any:  # noqa: ANN401 (any type of setting)
    """Read what stands after a flag as YAML would read it; what has no meaning stays text.

    >>> from sam2_video.configuration.keys import KEYS
    >>> read_text(KEYS["trainer.devices"], ("4",)), read_text(KEYS["dataset.data_path"], ("4",))
    (4, '4')
    >>> read_text(KEYS["dataset.image_size"], ("256", "256"))
    [256, 256]
    >>> read_text(KEYS["dataset.frame_stride"], ("2",))
    2
    >>> read_text(KEYS["trainer.lr_by_name"], ("{mask_decoder:", "1e-5}"))
    {'mask_decoder': 1e-05}
    """
    if key.allows_null and len(texts) == 1 and texts[0] in ("null", "None"):
        return None
    if key.is_list:
        if texts and texts[0].startswith("["):
            return _bracketed(" ".join(texts))
        if len(texts) == 1 and int in key.parts:
            return _scalar(texts[0])
        holds_text = list[str] in key.parts
        return list(texts) if holds_text else [_scalar(text) for text in texts]
    if key.is_mapping:
        return _bracketed(" ".join(texts))
    if len(texts) != 1:
        return list(texts)
    return texts[0] if key.is_text else _scalar(texts[0])


def _bracketed(text: str) -> Any:  # noqa: ANN401
    try:
        return yaml.load(text, Loader)
    except (yaml.YAMLError, RecursionError):
        return text


def _scalar(text: str) -> Any:  # noqa: ANN401
    loader = Loader("")
    tag = loader.resolve(yaml.ScalarNode, text, (True, False))
    try:
        return loader.construct_object(yaml.ScalarNode(tag, text))
    except (yaml.YAMLError, ValueError):
        return text


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise _FaultyYAMLError(0, f"more than {MOST_BYTES:,} bytes; expected a configuration")
        data = path.read_bytes()
    except FileNotFoundError:
        message = f"no such file (looked for {path.absolute()}); --create-config writes one"
        raise _FaultyYAMLError(0, message) from None
    except IsADirectoryError:
        raise _FaultyYAMLError(0, "a folder; expected a YAML file") from None
    except OSError as error:
        raise _FaultyYAMLError(0, f"cannot be read: {error.strerror}") from None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _FaultyYAMLError(line, "not UTF-8 text; save the file as UTF-8") from None


def _leaves(text: str, *, has_any_sections: bool) -> Iterator[tuple[str, Any, int]]:
    """Yield (dotted path, value, line) for every value of the document."""
    try:
        loader = Loader(text)
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise _FaultyYAMLError(line, f"not valid YAML: {error.problem}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _FaultyYAMLError(line, "not valid YAML: a character that text cannot hold") from None
    except RecursionError:
        raise _FaultyYAMLError(0, "not valid YAML: nested too deeply") from None
    if root is None or root.tag == _NULL:
        return
    if not isinstance(root, yaml.MappingNode) or root.tag != _MAPPING:
        line = root.start_mark.line + 1
        raise _FaultyYAMLError(line, "expected `key: value` lines, such as `trainer:`")
    _count_values(root, {}, 0)
    yield from _pairs(loader, root, "", set() if has_any_sections else None)


def _count_values(node: yaml.Node, known: dict[int, int], depth: int) -> int:
    """Return how many values a node has with its aliases written out; refuse too many.

    Args:
        node: The node.
        known: Counts by node; 0 of one that is being counted.
        depth: Of the node.
    """
    line = node.start_mark.line + 1
    if depth > _MOST_DEPTH:
        raise _FaultyYAMLError(line, "nested too deeply")
    if isinstance(node, yaml.ScalarNode):
        if node.tag in _NUMBERS and len(node.value) > _MOST_DIGITS:
            raise _FaultyYAMLError(line, f"a number of {len(node.value)} digits")
        return 1
    if id(node) not in known:
        known[id(node)] = 0
        children = [x for pair in node.value for x in pair] if _is_map(node) else node.value
        known[id(node)] = 1 + sum(_count_values(child, known, depth + 1) for child in children)
    count = known[id(node)]
    if count == 0:
        raise _FaultyYAMLError(line, "a recursive alias, which never ends; write values out")
    if count > MOST_VALUES:
        raise _FaultyYAMLError(line, f"aliases that unfold to more than {MOST_VALUES:,} values")
    return count


def _is_map(node: yaml.Node) -> bool:
    return isinstance(node, yaml.MappingNode)


def _refuse_twins(node: yaml.Node) -> None:
    """Refuse a mapping, inside a value too, that has a key twice: the first would be lost."""
    children = node.value if isinstance(node, yaml.SequenceNode) else []
    if isinstance(node, yaml.MappingNode):
        children = [value for _, value in node.value]
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise _FaultyYAMLError(key.start_mark.line + 1, f"{key.value} is given twice")
            seen.add(str(key.value))
    for child in children:
        _refuse_twins(child)


def _pairs(
    loader: Loader, mapping: yaml.MappingNode, prefix: str, nodes_seen: set[int] | None
) -> Iterator[tuple[str, Any, int]]:
    """Yield the values below a mapping; `nodes_seen` is None where only SECTIONS are sections."""
    sections_seen: dict[str, int] = {}
    for key_node, value_node in mapping.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise _FaultyYAMLError(line, "expected a plain name before the colon")
        name = prefix + key_node.value
        if not _is_section(name, value_node, line, nodes_seen):
            yield name, _value(loader, value_node), line
            continue
        if name in sections_seen:
            message = f"the section {name} stands twice, first on line {sections_seen[name]}"
            raise _FaultyYAMLError(line, message + "; join the two")
        sections_seen[name] = line
        if isinstance(value_node, yaml.MappingNode) and value_node.tag == _MAPPING:
            yield from _pairs(loader, value_node, f"{name}.", nodes_seen)
        elif value_node.tag != _NULL:
            yield name, _value(loader, value_node), line


def _is_section(name: str, value: yaml.Node, line: int, nodes_seen: set[int] | None) -> bool:
    if nodes_seen is None:
        return name in SECTIONS
    if not isinstance(value, yaml.MappingNode):
        return False
    # aliases of aliases would make a short file endless
    if id(value) in nodes_seen:
        raise _FaultyYAMLError(line, "an alias of a whole section; write its keys out")
    nodes_seen.add(id(value))
    return True


def _value(loader: Loader, node: yaml.Node) -> Any:  # noqa: ANN401
    line = node.start_mark.line + 1
    _refuse_twins(node)
    try:
        return loader.construct_object(node, deep=True)
    except yaml.constructor.ConstructorError as error:
        mark = error.problem_mark or node.start_mark
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        message = f"{tag} cannot be read here ({error.problem}); write a plain value"
        raise _FaultyYAMLError(mark.line + 1, message) from None
    except (ValueError, KeyError, AttributeError):
        # PyYAML's constructors fail so on `!!int fast`, `!!bool maybe`, `!!timestamp never`.
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        raise _FaultyYAMLError(line, f"not a value of {tag}; write a plain value") from None
    except RecursionError:
        raise _FaultyYAMLError(line, "nested too deeply") from None
