"""Configurations that are short and unfold without end, name code, or hide a value."""

import pytest

from sam2_video.config import TrainConfig
from sam2_video.configuration import ConfigurationError, load_config
from sam2_video.configuration.yaml_reader import MOST_BYTES
from sam2_video.model.meta_yaml import read_architecture


def chain(first, line, levels=12):
    """Aliases of aliases: each level holds the one before ten times."""
    before = [",".join([f"*a{level}"] * 10) for level in range(levels)]
    return first + "".join(
        line.format(number=number, before=inner) for number, inner in enumerate(before, start=1)
    )


LAUGHS = chain("a0: &a0 [1]\n", "a{number}: &a{number} [{before}]\n")
MERGES = chain("a0: &a0 {x: 1}\n", "a{number}: &a{number}\n  <<: [{before}]\n")
BOMBS = {
    "aliases": LAUGHS,
    "merged mappings": MERGES,
    "a list in itself": "trainer:\n  lr: &a [*a]\n",
    "a mapping in itself": "trainer: &a\n  lr: *a\n",
    "nested lists": "trainer: " + "[" * 100_000,
    "nested sections": "".join(" " * depth + "a:\n" for depth in range(400)),
    "a number to the base of 60": "seed: 1" + ":1" * 60_000,
    "a number that Python does not print": "seed: 0x" + "f" * 100_000,
    "a long file": "#" * (MOST_BYTES + 1),
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_in_a_line(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    for read in (load_config, lambda path: read_architecture(str(path))):
        with pytest.raises(ValueError, match=r"c\.yaml") as error:
            read(path)
        assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    "text",
    [
        "trainer:\n  lr: !!python/object/apply:os.system ['touch {canary}']\n",
        "trainer:\n  lr: !!python/object/new:subprocess.Popen [['touch', '{canary}']]\n",
        "!!python/object/apply:builtins.open ['{canary}', 'w']\n",
        "model:\n  _target_: pathlib.Path.touch\n  self: {canary}\n",
    ],
)
def test_nothing_that_a_file_names_is_called(tmp_path, text):
    path, canary = tmp_path / "c.yaml", tmp_path / "canary"
    path.write_text(text.replace("{canary}", str(canary)))
    for read in (load_config, lambda path: read_architecture(str(path))):
        with pytest.raises(ValueError, match=r"c\.yaml"):
            read(path)
    assert not canary.exists()


def test_a_key_given_twice_inside_a_value_is_refused(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("trainer:\n  lr_by_name:\n    a: 1.0e-3\n    a: 1.0e-5\n")
    with pytest.raises(ConfigurationError, match="line 4: a is given twice"):
        load_config(path)


def test_an_alias_that_says_something_once_more_is_read(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("dataset:\n  image_size: &size [64, 64]\n  frame_stride: *size\n")
    assert load_config(path).dataset.frame_stride == [64, 64]
    assert TrainConfig().dataset.frame_stride != [64, 64]
