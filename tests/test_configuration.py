"""Loading, checking and writing of the configuration."""

import math
from pathlib import Path

import pytest
import yaml

from sam2_video.config import TrainConfig
from sam2_video.configuration import (
    KEYS,
    SECTIONS,
    ConfigurationError,
    assemble,
    config_from_keywords,
    flatten,
    load_config,
    nearest,
    reference_table,
)

ROOT = Path(__file__).parents[1]


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


def test_flatten_and_assemble_are_inverse():
    assert assemble(flatten(TrainConfig())) == TrainConfig()


def test_a_file_overrides_defaults_and_given_values_override_the_file(write):
    path = write("trainer:\n  lr: 1e-3\n  max_epochs: 7\nseed: 1\n")
    config = load_config(path, {"trainer.lr": 1e-5})
    assert config.trainer.lr == 1e-5
    assert config.trainer.max_epochs == 7
    assert config.seed == 1
    assert config.dataset == TrainConfig().dataset


def test_all_errors_come_at_once_with_path_value_expectation_and_line(write):
    path = write(
        "model:\n  trainable_modules: []\n"
        "dataset:\n  image_size: [500, 512]\n  batch_size: 0\n  frame_stride: [3, 1]\n"
        "trainr:\n  lr: 1\n"
        "trainer:\n  learning_rate: 1\n  precision: fp16\n"
    )
    found = problems_of(load_config, path, {"prompts.mask": -0.5, "lr": 1})
    expected = [
        ("dataset.batch_size: got 0; expected a whole number >= 1", "line 5"),
        ("trainr: no such key; perhaps you meant trainer", "line 7"),
        ("trainer.learning_rate: no such key; trainer has max_epochs", "line 10"),
        ("trainer.precision: got 'fp16'; expected one of auto, 16-mixed, bf16-mixed", "line 11"),
        ("prompts.mask: got -0.5; expected a number >= 0", "given in Python"),
        ("lr: no such key; perhaps you meant trainer.lr", "given in Python"),
        ("dataset.image_size: got [500, 512]; expected [height, width], both mult", "line 4"),
        ("dataset.frame_stride: got [3, 1]; expected [smallest, largest] with", "line 6"),
        ("model.trainable_modules: got []; expected at least one name", "line 2"),
    ]
    assert len(found) == len(expected)
    for start, source in expected:
        (line,) = [line for line in found if line.startswith(start)]
        assert line.endswith(f"{source}]")
        assert "\n" not in line


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"dataset.image_size": [512]}, "dataset.image_size"),
        ({"dataset.image_size": [512, 0]}, "dataset.image_size"),
        ({"dataset.image_size": [512, 520]}, "dataset.image_size"),
        ({"dataset.image_size": 512}, "dataset.image_size"),
        ({"dataset.frame_stride": [0, 1]}, "dataset.frame_stride"),
        ({"dataset.frame_stride": [1, 2, 3]}, "dataset.frame_stride"),
        ({"dataset.reverse_probability": 1.5}, "dataset.reverse_probability"),
        ({"dataset.video_clip_length": 0}, "dataset.video_clip_length"),
        ({"dataset.colour_palette": [[0, 0, 256]]}, "dataset.colour_palette"),
        ({"dataset.colour_palette": [[0, 0]]}, "dataset.colour_palette"),
        ({"dataset.video_pattern": "(?P<video>.+)"}, "dataset.video_pattern"),
        ({"dataset.video_pattern": "(?P<frame>"}, "dataset.video_pattern"),
        ({"dataset.intensity_window": [100]}, "dataset.intensity_window"),
        ({"dataset.intensity_window": [100, 100]}, "dataset.intensity_window"),
        ({"dataset.val_masks_path": "x"}, "dataset.val_masks_path"),
        ({"dataset.val_fraction": 1.0}, "dataset.val_fraction"),
        ({"prompts.mask": 0, "prompts.box": 0, "prompts.point": 0}, "prompts.mask"),
        ({"prompts.validation_clicks": 2}, "prompts.validation_clicks"),
        (
            {"prompts.validation": "box", "prompts.validation_clicks": -1},
            "prompts.validation_clicks",
        ),
        ({"losses.dice": -1.0}, "losses.dice"),
        ({"losses.focal_alpha": -0.5}, "losses.focal_alpha"),
        (
            {f"losses.{x}": 0 for x in ("focal", "dice", "iou_prediction", "object_score")},
            "losses.focal",
        ),
        ({"trainer.max_steps": 0}, "trainer.max_steps"),
        ({"trainer.devices": 0}, "trainer.devices"),
        ({"trainer.devices": "all"}, "trainer.devices"),
        ({"trainer.lr": math.nan}, "trainer.lr"),
        ({"trainer.lr": math.inf}, "trainer.lr"),
        ({"trainer.lr": 0}, "trainer.lr"),
        ({"trainer.early_stopping": 3, "dataset.val_fraction": 0}, "trainer.early_stopping"),
        ({"output_dir": ""}, "output_dir"),
        ({"model.checkpoint_path": "\udcff"}, "model.checkpoint_path"),
        ({"trainer": 3}, "trainer"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(values, path):
    (line,) = problems_of(load_config, None, values)
    assert line.startswith(f"{path}: ")


def test_a_clip_of_one_frame_and_several_strides_are_allowed():
    values = {"dataset.video_clip_length": 1, "dataset.frame_stride": (1, 4), "trainer.devices": 2}
    config = load_config(None, values)
    assert config.dataset.frame_stride == [1, 4]
    assert config.trainer.devices == 2


def test_a_value_of_the_wrong_type_is_told_once():
    values = {"dataset.data_path": 3, "dataset.image_size": "512x512"}
    found = problems_of(load_config, None, values, ready_to_train=True)
    assert len(found) == 2


def test_errors_of_the_file_do_not_hide_those_of_given_values(write):
    found = problems_of(load_config, write("a: ["), {"trainer.lr": "x"})
    assert len(found) == 2


def test_training_asks_for_data_and_files_that_exist(tmp_path):
    (found,) = problems_of(load_config, ready_to_train=True)
    assert found == (
        "dataset.data_path: got null; expected a folder or a COCO file; give --data-path DIR "
        "[default]"
    )
    gone = str(tmp_path / "gone")
    values = {
        "dataset.data_path": gone,
        "dataset.val_path": gone,
        "model.checkpoint_path": gone + ".pt",
    }
    found = problems_of(load_config, None, values, ready_to_train=True)
    assert [line.partition(":")[0] for line in found] == [
        "dataset.data_path",
        "dataset.val_path",
        "model.checkpoint_path",
    ]
    # a resumed run has its own weights: what it started from may be gone
    found = problems_of(load_config, None, values | {"resume": gone}, ready_to_train=True)
    assert [line.partition(":")[0] for line in found] == [
        "dataset.data_path",
        "dataset.val_path",
        "resume",
    ]
    assert load_config(None, values | {"resume": gone}).resume == gone


@pytest.mark.parametrize(
    ("checkpoint", "is_accepted"),
    [
        ("facebook/sam2.1-hiera-tiny", True),
        ("sam2.1_hiera_tiny.pt", False),
        ("weights/best_model.pth", False),
        ("facebook/sam2/tiny", False),
        ("here/gone", False),
        ("./facebook/sam2", False),
        ("here", True),
    ],
)
def test_a_checkpoint_that_is_no_file_may_be_a_hub_id(
    tmp_path, monkeypatch, checkpoint, is_accepted
):
    monkeypatch.chdir(tmp_path)
    Path("here").mkdir()
    values = {"dataset.data_path": "here", "model.checkpoint_path": checkpoint}
    if is_accepted:
        assert load_config(None, values, ready_to_train=True)
    else:
        (found,) = problems_of(load_config, None, values, ready_to_train=True)
        assert found.startswith("model.checkpoint_path: ")


def test_a_path_in_a_file_may_start_at_the_home_folder(write, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = load_config(write("dataset: {data_path: ~/videos}"))
    assert config.dataset.data_path == str(tmp_path / "videos")


def test_keywords_are_keys_shorthands_sections_or_a_file(tmp_path, write):
    config = config_from_keywords(
        config=write("trainer: {lr: 1e-3, accumulate: 2}"),
        data=tmp_path,
        checkpoint="facebook/sam2.1-hiera-tiny",
        out=tmp_path / "one",
        max_epochs=5,
        image_size=(256, 320),
        trainer={"lr": 1e-5},
    )
    assert config.dataset.data_path == str(tmp_path)
    assert config.model.checkpoint_path == "facebook/sam2.1-hiera-tiny"
    assert config.output_dir == str(tmp_path / "one")
    assert config.trainer.max_epochs == 5
    assert config.dataset.image_size == [256, 320]
    assert (config.trainer.lr, config.trainer.accumulate) == (1e-5, 2)


def test_a_wrong_keyword_names_the_nearest(tmp_path):
    found = problems_of(config_from_keywords, data=tmp_path, max_epoch=5, data_path=tmp_path)
    assert found == [
        "max_epoch: no such key; perhaps you meant max_epochs [given in Python]",
        "data_path: gives dataset.data_path a second time [given in Python]",
    ]


def test_names_of_keys_are_unique_over_sections_and_shorthands():
    names = [key.name for key in KEYS.values()] + ["data", "checkpoint", "out", "config", *SECTIONS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("trainer.batch_size", "dataset.batch_size"),
        ("dataset.imagesize", "dataset.image_size"),
        ("trainer.max_epoch", "trainer.max_epochs"),
        ("wandb_projekt", "wandb_project"),
        ("xyzzy", None),
    ],
)
def test_the_nearest_name_is_found_in_any_section(wrong, right):
    assert nearest(wrong, KEYS) == right


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_a_shipped_configuration_loads_and_lists_only_differences(path):
    values = flatten(load_config(path))
    # memory-only is the defaults, and lists none
    listed = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    for section, keys in listed.items():
        for name in keys:
            dotted = f"{section}.{name}"
            assert values[dotted] != KEYS[dotted].default, dotted


def test_the_page_of_keys_says_what_the_dataclasses_say():
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert reference_table() in page, "python -m sam2_video.configuration docs/configuration.md"
