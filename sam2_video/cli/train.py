"""The verb `train`: the configuration's keys as flags, above those of a YAML file."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import tyro
from tyro.constructors import PrimitiveConstructorSpec

from sam2_video.cli.verbs import USAGE_ERROR, report_errors
from sam2_video.config import TrainConfig
from sam2_video.configuration import (
    KEYS,
    SECTIONS,
    ConfigurationError,
    Entry,
    Key,
    Problem,
    nearest,
    read_text,
    read_yaml,
    resolve,
    save,
)
from sam2_video.training.folder import CONFIG, find_resume

SHORT_FLAGS = {
    "model.checkpoint_path": "--model-checkpoint",
    "model.config_path": "--model-config",
    "dataset.data_path": "--data-path",
    "dataset.batch_size": "--batch-size",
    "trainer.lr": "--lr",
    "trainer.max_epochs": "--max-epochs",
    "trainer.accelerator": "--accelerator",
    "trainer.devices": "--devices",
    "trainer.precision": "--precision",
}
NO_WANDB = "--no-wandb"
SAMPLE = Path("sample_config.yaml")


@dataclass(frozen=True)
class _Given:
    """What stood after a flag; a flag that was not given is None."""

    texts: tuple[str, ...]


@dataclass(frozen=True)
class _CommandLine:
    """What a command line says, before any value is checked."""

    config_path: Path | None
    creates_config: bool
    entries: Mapping[str, Entry]
    problems: Sequence[Problem]


def run_train(argv: Sequence[str], program: str = "sam2-video train") -> int:
    """Train as the command line says, or write a sample configuration; return the exit code."""
    try:
        line = _parse(argv, program)
        config = _configure(line)
        if line.creates_config:
            _write_sample(config)
            print(f"wrote {SAMPLE}; edit it, then: {program} --config {SAMPLE}")
            return 0
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        print(f"{program} --help lists every flag", file=sys.stderr)
        return USAGE_ERROR
    codes: list[int] = []
    failed = report_errors(lambda: codes.append(_train(config)), is_debug=config.debug)
    return failed or codes[0]


def _train(config: TrainConfig) -> int:
    """Train, and return 0, or 128 + the number of the signal that stopped the run."""
    # Imported late: torch takes seconds, and neither help nor a wrong setting needs it.
    from sam2_video.training.run import train
    from sam2_video.training.stopping import SIGNALLED

    result = train(config)
    return 0 if result.stopped_by is None else SIGNALLED + result.stopped_by


def _configure(line: _CommandLine) -> TrainConfig:
    config_path = line.config_path or _config_of_resumed_run(line)
    entries, problems = read_yaml(config_path) if config_path else ({}, [])
    return resolve(
        entries | dict(line.entries),
        [*problems, *line.problems, *_start_or_continue(line)],
        ready_to_train=not line.creates_config,
    )


def _start_or_continue(line: _CommandLine) -> list[Problem]:
    """Return the problem of a command line that starts a run and continues another."""
    given = [line.entries.get(path) for path in ("resume", "model.checkpoint_path")]
    if any(entry is None or entry.value is None for entry in given):
        return []
    message = (
        "a resumed run goes on with its own weights; leave --model-checkpoint out to continue it, "
        "or --resume to start a new run from these weights"
    )
    return [Problem("model.checkpoint_path", message, "command line")]


def _config_of_resumed_run(line: _CommandLine) -> Path | None:
    """Return the settings of the run that `--resume` continues, where no file was named."""
    entry = line.entries.get("resume")
    if entry is None or not isinstance(entry.value, str):
        return None
    try:
        _, run_dir = find_resume(entry.value)
    except FileNotFoundError as error:
        message = str(error).removeprefix("resume: ")
        raise ConfigurationError([Problem("resume", message, entry.source)]) from None
    path = run_dir / CONFIG
    return path if path.is_file() else None


def _write_sample(config: TrainConfig) -> None:
    if SAMPLE.exists():
        message = "is already there; move or delete it, then ask again"
        raise ConfigurationError([Problem(str(SAMPLE), message)])
    try:
        save(config, SAMPLE)
    except OSError as error:
        message = f"cannot be written to {Path.cwd()}: {error.strerror}"
        raise ConfigurationError([Problem(str(SAMPLE), message)]) from None


def _parse(argv: Sequence[str], program: str) -> _CommandLine:
    """Read the flags with tyro, which also prints the help; values stay text until merged."""
    parsed, unknown = tyro.cli(
        _flags_class(), prog=program, args=list(argv), return_unknown_args=True
    )
    entries: dict[str, Entry] = {}
    problems = _unknown_flags(unknown)
    for path, key in KEYS.items():
        section, _, name = path.rpartition(".")
        owner = getattr(parsed, section) if section else parsed
        is_off = key.type is bool and getattr(owner, f"no_{name}")
        found = _read_flag(key, getattr(owner, name), is_off=is_off)
        if isinstance(found, Entry):
            entries[path] = found
        elif found is not None:
            problems.append(found)
    config_path = None
    if parsed.config is not None:
        config_path = Path(parsed.config.texts[0]) if parsed.config.texts else None
        if len(parsed.config.texts) != 1:
            message = f"got {len(parsed.config.texts)} values; expected one YAML file"
            problems.append(Problem("--config", message, "command line"))
    return _CommandLine(config_path, parsed.create_config, entries, problems)


def _read_flag(key: Key, value: _Given | bool | None, *, is_off: bool) -> Entry | Problem | None:
    """Return what the command line says of a key, what is wrong with it, or None for nothing."""
    flag = _flag(key.path)
    if isinstance(value, _Given):
        if not value.texts and not key.is_list:
            message = f"{flag} needs a value; expected {key.expected}"
            return Problem(key.path, message, "command line")
        return Entry(read_text(key, value.texts), f"command line, {flag}")
    negative = NO_WANDB if key.path == "use_wandb" else f"--no-{key.path}"
    if value and is_off:
        return Problem(key.path, f"got both {flag} and {negative}", "command line")
    if value or is_off:
        return Entry(bool(value), f"command line, {flag if value else negative}")
    return None


def _flag(path: str) -> str:
    return SHORT_FLAGS.get(path, "--" + path.replace("_", "-"))


def _unknown_flags(unknown: Sequence[str]) -> list[Problem]:
    """Return a problem for each flag that does not exist and each value that no flag takes."""
    known = ["--config", "--create-config", NO_WANDB, *SHORT_FLAGS.values()]
    known += ["--" + path.replace("_", "-") for path in KEYS]
    problems = []
    follows_flag = False
    for text in unknown:
        name = text.partition("=")[0]
        if name.startswith("-"):
            # Keys and flags are compared without dashes, which would make all flags look alike.
            by_name = {flag.strip("-").replace("-", "_"): flag for flag in reversed(known)}
            close = nearest(name.strip("-").replace("-", "_"), by_name)
            hint = f"perhaps you meant {by_name[close]}" if close else "see --help"
            problems.append(Problem(name, f"no such flag; {hint}", "command line"))
            follows_flag = True
        elif not follows_flag:
            message = "stands alone; expected a flag before it, such as --data-path"
            problems.append(Problem(text, message, "command line"))
    return problems


def _flags_class() -> type:
    """Build the class that tyro reads the flags from: the configuration's keys, as text."""
    config: list[Any] = [
        ("config", _as_text("FILE", ["null"], "YAML file of settings", []), field(default=None)),
        ("create_config", _switch(f"write {SAMPLE} with every setting, and stop"), _off()),
    ]
    for name, owner in SECTIONS.items():
        keys = [key for key in KEYS.values() if key.path.startswith(f"{name}.")]
        section = make_dataclass(owner.__name__, [x for key in keys for x in _fields_of(key)])
        section.__doc__ = owner.__doc__
        config.append((name, section, field(default_factory=section)))
    config += [x for key in KEYS.values() if "." not in key.path for x in _fields_of(key)]
    flags = make_dataclass("TrainFlags", config)
    flags.__doc__ = "Train. Precedence: defaults < the YAML file of --config < flags."
    return flags


def _fields_of(key: Key) -> list[Any]:
    """Return the field of a key, or for a switch the two fields that turn it on and off."""
    if key.type is bool:
        aliases = [NO_WANDB] if key.path == "use_wandb" else []
        opposite = f"turn {key.name.replace('_', '-')} off"
        return [
            (key.name, _switch(key.comment), _off()),
            (f"no_{key.name}", _switch(opposite, aliases), _off()),
        ]
    default = key.default if isinstance(key.default, list) else [key.default]
    shown = ["null" if item is None else str(item) for item in default]
    aliases = [SHORT_FLAGS[key.path]] if key.path in SHORT_FLAGS else []
    text = _as_text(_metavar(key), shown, key.comment, aliases)
    return [(key.name, text, field(default=None))]


def _off() -> Any:  # noqa: ANN401 (a dataclass field)
    return field(default=False)


def _switch(comment: str, aliases: Sequence[str] = ()) -> Any:  # noqa: ANN401 (a type)
    argument = tyro.conf.arg(help=comment, aliases=list(aliases), help_behavior_hint="")
    return Annotated[bool, tyro.conf.FlagCreatePairsOff, argument]


def _as_text(metavar: str, shown: list[str], comment: str, aliases: Sequence[str]) -> Any:  # noqa: ANN401
    """Return a type that tyro fills with the texts after a flag; None stands for no flag.

    Any number of texts is taken: one check of values, after the merge, reports all faults.
    """
    spec = PrimitiveConstructorSpec(
        nargs="*",
        metavar=metavar,
        instance_from_str=lambda texts: _Given(tuple(texts)),
        is_instance=lambda value: value is None or isinstance(value, _Given),
        str_from_instance=lambda _: shown,
    )
    return Annotated[Any, spec, tyro.conf.arg(help=comment, aliases=list(aliases))]


def _metavar(key: Key) -> str:
    names = {int: "INT", float: "FLOAT", str: "TEXT", list[int]: "INT ...", list[str]: "TEXT ..."}
    words = []
    for part in key.parts:
        if get_origin(part) is Literal:
            words.append("{" + ",".join(get_args(part)) + "}")
        elif get_origin(part) is dict:
            words.append("{NAME: NUMBER, ...}")
        elif part is not type(None):
            words.append(names.get(part, "LIST"))
    return "|".join(words)
