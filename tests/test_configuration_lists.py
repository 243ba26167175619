"""Lists of settings in the configuration: `dataset.more`, strides and their schedule."""

import pytest

from sam2_video.config import MoreData, every_set
from sam2_video.configuration import KEYS, ConfigurationError, load_config, read_text, save


def problems_of(*arguments, **keywords):
    with pytest.raises(ConfigurationError) as caught:
        load_config(*arguments, **keywords)
    return [str(problem) for problem in caught.value.problems]


def test_more_data_sets_are_read_from_yaml_checked_and_written_back(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        "dataset:\n  max_objects: 2\n  more:\n    - data_path: ~/x\n      weight: 2\n"
        "    - {data_path: 'two\\n', frame_stride: [1, 3], still_images: motion}\n"
    )
    config = load_config(path)
    first, second = config.dataset.more
    assert not first.data_path.startswith("~")
    assert (first.weight, second.frame_stride) == (2.0, [1, 3])
    save(config, path)
    assert load_config(path) == config
    sets = every_set(config.dataset)
    assert [weight for _, weight in sets] == [1.0, 2.0, 1.0]
    assert [one.max_objects for one, _ in sets] == [2, 2, 2]
    assert [one.still_images for one, _ in sets] == ["repeat", "repeat", "motion"]


def test_every_fault_of_a_nested_key_is_told_with_its_path():
    more = [{"data_path": "a", "data_paht": "b"}, 3, {"weight": 0, "data_path": 4}, {"xyzzy": 1}]
    found = problems_of(None, {"dataset.more": more})
    assert [line.partition(": ")[::2] for line in found[:4]] == [
        ("dataset.more[0].data_paht", "no such key; perhaps you meant data_path [given in Python]"),
        (
            "dataset.more[1]",
            "got 3; expected keys and values, such as {data_path: ...} [given in Python]",
        ),
        ("dataset.more[2].weight", "got 0; expected a number > 0 [given in Python]"),
        (
            "dataset.more[2].data_path",
            "got 4; expected text or null; write it in quotes [given in Python]",
        ),
    ]
    assert found[4].startswith("dataset.more[3].xyzzy: no such key; there are data_path, masks_")
    assert found[5].startswith("dataset.more[3].data_path: got null; expected a folder")
    assert len(found) == 6
    assert problems_of(None, {"dataset.more": {"data_path": "a"}})[0].startswith("dataset.more: ")


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"frame_stride": [3, 1]}, "frame_stride"),
        ({"frame_stride": 0}, "frame_stride"),
        ({"frame_stride_schedule": [[0.0, 1.5]]}, "frame_stride_schedule"),
        ({"frame_stride_schedule": [[0.5, 2], [0.1, 3]]}, "frame_stride_schedule"),
        ({"frame_stride_schedule": [[1.0, 2]]}, "frame_stride_schedule"),
        ({"frame_stride_schedule": [[0.0]]}, "frame_stride_schedule"),
        ({"frame_stride_schedule": [0, 1]}, "frame_stride_schedule"),
        ({"colour_palette": [[0, 0]]}, "colour_palette"),
        ({"val_masks_path": "x"}, "val_masks_path"),
    ],
)
def test_values_of_the_section_and_of_more_are_checked_alike(values, path):
    given = {f"dataset.{name}": value for name, value in values.items()}
    (line,) = problems_of(None, given)
    assert line.startswith(f"dataset.{path}: ")
    (line,) = problems_of(None, {"dataset.more": [{"data_path": "a"} | values]})
    assert line.startswith(f"dataset.more[0].{path}: ")
    assert line.endswith("[given in Python]")


def test_training_asks_for_every_path(tmp_path):
    gone = str(tmp_path / "gone")
    values = {"dataset.data_path": str(tmp_path), "dataset.more": [{"data_path": gone}]}
    (line,) = problems_of(None, values, ready_to_train=True)
    assert line.startswith(f"dataset.more[0].data_path: got '{gone}', which does not exist")


def test_one_number_is_a_stride_in_a_file_and_after_a_flag(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("dataset: {frame_stride: 2, frame_stride_schedule: [[0, 1], [0.1, 5]]}")
    config = load_config(path)
    assert config.dataset.frame_stride == 2
    assert config.dataset.frame_stride_schedule == [[0.0, 1.0], [0.1, 5.0]]
    assert read_text(KEYS["dataset.frame_stride"], ("1", "2")) == [1, 2]
    texts = ("[{data_path:", "a,", "weight:", "2}]")
    assert read_text(KEYS["dataset.more"], texts) == [{"data_path": "a", "weight": 2}]


def test_settings_given_as_they_are_held_are_accepted():
    more = [MoreData(data_path="a", weight=3.0)]
    assert load_config(None, {"dataset.more": more}).dataset.more == more
