"""The verb `doctor`: what is wrong with this machine, and does a configuration fit into it."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sam2_video.cli.verbs import USAGE_ERROR, USER_ERROR, parse, report_errors
from sam2_video.config import TrainConfig
from sam2_video.configuration import ConfigurationError, load_config


@dataclass(frozen=True)
class DoctorFlags:
    """Flags of `doctor`."""

    config: str | None = None
    """a training configuration (YAML); left out: the defaults"""
    model_config: str | None = None
    """the network, such as sam2.1-base-plus, where the configuration names none"""
    json: str | None = None
    """write everything that was found to this JSON file"""
    debug: bool = False
    """show where an error came from"""


def run_doctor(argv: Sequence[str], program: str = "sam2-video doctor") -> int:
    """Look at the machine; return 1 where a training would be stopped or spoilt, else 0."""
    summary = "What is wrong with this machine, and does a training fit into its memory?"
    flags = parse(argv, program, DoctorFlags, summary)
    given = {} if flags.model_config is None else {"model.config_path": flags.model_config}
    try:
        config = load_config(None if flags.config is None else Path(flags.config), given)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return USAGE_ERROR
    codes: list[int] = []
    failure = report_errors(lambda: codes.append(_look(flags, config)), is_debug=flags.debug)
    return failure or codes[0]


def _look(flags: DoctorFlags, config: TrainConfig) -> int:
    # late: help needs no torch
    from sam2_video.diagnosis import diagnose
    from sam2_video.files import write_json

    diagnosis = diagnose(config)
    print(diagnosis)
    if flags.json is not None:
        write_json(Path(flags.json).expanduser(), diagnosis.as_dict())
    return USER_ERROR if diagnosis.has_errors else 0
