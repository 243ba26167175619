"""Configuration files: what is read, what is refused, what is written."""

import math
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sam2_video.config import MoreData, TrainConfig
from sam2_video.configuration import KEYS, ConfigurationError, assemble, load_config, save


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "run.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def problems_of(call, *arguments, **keywords):
    with pytest.raises(ConfigurationError) as caught:
        call(*arguments, **keywords)
    return [str(problem) for problem in caught.value.problems]


text = st.one_of(
    st.text(min_size=1, max_size=20).filter(lambda value: not value.startswith("~/")),
    st.sampled_from(["null", "1e-4", "true", "no", "2024-01-01", "a: b", "# c", "~", "...", "[x"]),
)


def value_strategy(key):
    """Return values that a key alone accepts."""
    low = key.limits.get("ge", key.limits.get("gt"))
    high = key.limits.get("le", key.limits.get("lt"))
    options = {
        bool: st.booleans(),
        int: st.integers(low, None if high is None else math.ceil(high) - 1),
        float: st.floats(
            low,
            high,
            allow_nan=False,
            allow_infinity=False,
            exclude_min="gt" in key.limits,
            exclude_max="lt" in key.limits,
        ),
        str: text,
        list[str]: st.lists(text, min_size=1, max_size=3),
        dict[str, float]: st.dictionaries(text, st.floats(0, 1, exclude_min=True), max_size=3),
        type(None): st.none(),
    }
    return st.one_of(
        st.sampled_from(get_args(part)) if get_origin(part) is Literal else options[part]
        for part in key.parts
    )


# made here, because the checks of types draw random numbers, which strategies may not
more = st.sampled_from(
    [
        MoreData(data_path="a", weight=1e-4, frame_stride=3),
        MoreData(data_path="two\n[lines", frame_stride=[1, 3], colour_palette=[[0, 0, 255]]),
        MoreData(data_path="null", still_images="motion", frame_stride_schedule=[[0.5, 4.0]]),
    ]
)
side = st.integers(1, 64).map(lambda count: 32 * count)
SPECIAL = {
    "dataset.image_size": st.lists(side, min_size=2, max_size=2),
    "dataset.frame_stride": st.integers(1, 9)
    | st.lists(st.integers(1, 9), min_size=2, max_size=2).map(sorted),
    "dataset.frame_stride_schedule": st.sampled_from([[], [[0.0, 1.0], [0.5, 4.0]]]),
    "dataset.more": st.lists(more, max_size=2),
    "dataset.colour_palette": st.none()
    | st.lists(st.lists(st.integers(0, 255), min_size=3, max_size=3), max_size=3),
    "dataset.video_pattern": st.sampled_from([None, r"(?P<video>.+): #(?P<frame>\d+)\.png$"]),
    "dataset.intensity_window": st.sampled_from([None, [-160.0, 240.0]]),
    "dataset.val_masks_path": st.none(),
    # what goes together with a cache has tests of its own
    "dataset.feature_cache": st.none(),
    "dataset.feature_cache_dtype": st.just("bf16"),
    "dataset.feature_cache_variants": st.just(1),
    "prompts.mask": st.floats(0.1, 1),
    "prompts.validation_clicks": st.just(0),
    "losses.focal": st.floats(0.1, 9),
    "losses.focal_alpha": st.just(-1.0) | st.floats(0, 1),
    "trainer.max_steps": st.just(-1) | st.integers(1),
    "trainer.early_stopping": st.none(),
}
STRATEGIES = SPECIAL | {
    path: value_strategy(key) for path, key in KEYS.items() if path not in SPECIAL
}


@st.composite
def changes(draw):
    """Return some keys with values that go together."""
    paths = draw(st.lists(st.sampled_from(list(KEYS)), max_size=6, unique=True))
    return {path: draw(STRATEGIES[path]) for path in paths}


def assert_one_line_a_key(path):
    lines = path.read_text(encoding="utf-8").split("\n")
    lines = [line for line in lines if ": " in line and not line.startswith("#")]
    assert len(lines) == len(KEYS)
    for line, key in zip(lines, KEYS.values(), strict=True):
        assert line.strip().startswith(f"{key.name}: ")
        assert line.endswith(f"  # {key.comment}")


@settings(max_examples=60)
@given(changes())
def test_what_is_written_is_read_back_unchanged_with_a_comment_on_each_key(
    tmp_path_factory, values
):
    config = assemble(values)
    path = tmp_path_factory.getbasetemp() / "round_trip.yaml"
    save(config, path)
    assert load_config(path) == config
    assert_one_line_a_key(path)


def test_the_smallest_value_of_every_key_is_read_back(tmp_path):
    values = {
        path: key.limits["ge"]
        for path, key in KEYS.items()
        if "ge" in key.limits and path not in SPECIAL
    } | {"trainer.lr": 1e-300}
    config = load_config(None, values)
    save(config, tmp_path / "run.yaml")
    assert load_config(tmp_path / "run.yaml") == config


@pytest.mark.parametrize(
    "value",
    [
        *("null", "1e-4", "1E4", "true", "off", "12", "0x1f", "1:30", "2024-01-01", "a: b", "# c"),
        *("~", "...", "---", "[x", "{", "*a", "&a", "!!int", "a #b", " x ", "é 🎈", "it's", "\\"),
        *("two\nlines", "tab\t", "\x00", "\x85", "\u2028", "\ufeff", "x" * 500, "a b " * 99, "%"),
    ],
)
def test_any_text_is_read_back_from_one_line(tmp_path, value):
    config = load_config(None, {"wandb_project": value, "model.trainable_modules": [value]})
    path = tmp_path / "run.yaml"
    save(config, path)
    assert load_config(path) == config
    assert_one_line_a_key(path)


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "null\n", "trainer:\nmodel: ~\n"])
def test_an_empty_file_or_section_means_the_defaults(write, text):
    assert load_config(write(text)) == TrainConfig()


@pytest.mark.parametrize(
    "number", ["1e-4", "1E-4", "1.e-4", "1.0e-4", "+1e-4", ".1e-3", "0.0001", "1.0E-04"]
)
def test_every_spelling_of_a_float_is_a_number(write, number):
    assert load_config(write(f"trainer: {{lr: {number}}}")).trainer.lr == 1e-4


def test_a_whole_number_is_a_number_but_not_text_or_truth(write):
    config = load_config(write("trainer: {lr: 1}"))
    assert config.trainer.lr == 1.0
    assert isinstance(config.trainer.lr, float)
    path = write("trainer: {lr: true, max_epochs: 5.5}\nuse_wandb: 1")
    found = problems_of(load_config, path)
    assert found == [
        f"trainer.lr: got true; expected a number > 0 [{path}, line 1]",
        f"trainer.max_epochs: got 5.5; expected a whole number >= 1 [{path}, line 1]",
        f"use_wandb: got 1; expected true or false [{path}, line 2]",
    ]


def test_a_date_stays_text_and_a_number_is_told_to_be_quoted(write):
    assert load_config(write("wandb_project: 2024-01-01")).wandb_project == "2024-01-01"
    (line,) = problems_of(load_config, write("wandb_project: 2024"))
    assert "got 2024; expected text; write it in quotes" in line


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: [1\nb: 2\n", 2, "not valid YAML"),
        ("seed: 1\n\tdebug: true\n", 2, "not valid YAML"),
        ("- 1\n", 1, "key: value"),
        ("seed\n", 1, "key: value"),
        ("seed: 1\n---\nseed: 2\n", 2, "not valid YAML"),
        ("dataset:\n  image_size: !!python/tuple [512, 512]\n", 2, "python/tuple"),
        ("model: !!python/object:x.Y {}\n", 1, "python/object"),
        ("seed: !!int fast\n", 1, "not a value of !!int"),
        ("debug: !!bool maybe\n", 1, "not a value of !!bool"),
        ("wandb_project: !!timestamp never\n", 1, "not a value of !!timestamp"),
        ("? [1, 2]\n: 3\n", 1, "plain name"),
        ("seed: *nowhere\n", 1, "not valid YAML"),
        (b"seed: 1\n# caf\xe9\n", 2, "not UTF-8"),
        ("seed: 1\n# \x07\n", 2, "not valid YAML"),
        ("seed: 1\nseed: 2\n", 2, "given twice, first at"),
        ("trainer:\n  lr: 1\n  lr: 2\n", 3, "given twice, first at"),
        ("trainer:\n  lr: 1\ntrainer:\n  lr: 2\n", 3, "stands twice, first on line 1"),
    ],
)
def test_a_faulty_file_is_one_line_with_its_line_number(write, text, line, says):
    path = write(text)
    (found,) = problems_of(load_config, path)
    assert f"{path}, line {line}" in found
    assert says in found
    assert "\n" not in found


def test_deep_nesting_and_endless_lists_are_errors_of_the_file(write):
    (found,) = problems_of(load_config, write("seed: " + "[" * 5000))
    assert "nested too deeply" in found
    (found,) = problems_of(load_config, write("seed: &a [*a]"))
    assert "recursive" in found


def test_a_missing_file_a_folder_and_a_byte_order_mark(tmp_path, write):
    (found,) = problems_of(load_config, tmp_path / "none.yaml")
    assert "no such file" in found
    (found,) = problems_of(load_config, tmp_path)
    assert "a folder; expected a YAML file" in found
    assert load_config(write(b"\xef\xbb\xbfseed: 3\n")).seed == 3


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "config.yaml"
    save(TrainConfig(), path)
    before = path.read_bytes()
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError, match="disk"):
        save(load_config(None, {"seed": 7}), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
