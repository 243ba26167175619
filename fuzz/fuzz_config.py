"""Configurations, and the YAML of Meta's models."""

from fuzz.harness import Target, fuzz
from sam2_video.config import TrainConfig
from sam2_video.configuration import load_config
from sam2_video.configuration.yaml_writer import dump
from sam2_video.model.architecture import ARCHITECTURES
from sam2_video.model.meta_yaml import dump_meta_yaml, read_meta_yaml

LAUGHS = b"a: &a [1, 1]\nb: &b [*a, *a]\ntrainer:\n  lr: *b\n  <<: {max_epochs: 3}\n"
CODE = (
    b"trainer:\n  lr: !!python/object/apply:os.system ['touch c']\nmodel:\n  _target_: os.system\n"
)


def _seeds():
    meta = dump_meta_yaml(ARCHITECTURES["sam2.1-tiny"], 512)
    return [
        dump(TrainConfig()).encode(),
        meta.encode(),
        LAUGHS,
        CODE,
        b"dataset:\n  more: [{data_path: x, weight: 2}]\n",
    ]


def _read(path):
    for read in (load_config, read_meta_yaml):
        try:
            read(path)
        except ValueError as error:
            if path.name not in str(error):
                raise


if __name__ == "__main__":
    fuzz("config", Target(_read, _seeds, "config.yaml"))
