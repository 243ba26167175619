"""Load, check and write the configuration: defaults < YAML < command line."""

from sam2_video.configuration.keys import KEYS, SECTIONS, Key, assemble, flatten, nearest
from sam2_video.configuration.load import config_from_keywords, load_config, resolve
from sam2_video.configuration.problems import ConfigurationError, Entry, Problem, shown
from sam2_video.configuration.reference import reference_table
from sam2_video.configuration.yaml_reader import read_text, read_yaml
from sam2_video.configuration.yaml_writer import dump, save

__all__ = [
    "KEYS",
    "SECTIONS",
    "ConfigurationError",
    "Entry",
    "Key",
    "Problem",
    "assemble",
    "config_from_keywords",
    "dump",
    "flatten",
    "load_config",
    "nearest",
    "read_text",
    "read_yaml",
    "reference_table",
    "resolve",
    "save",
    "shown",
]
