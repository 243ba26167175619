"""Whether a step fits, and what to change where it does not."""

import pytest

from sam2_video.configuration import load_config
from sam2_video.diagnosis import fit
from sam2_video.diagnosis.fit import RESERVE, find_network, see_whether_it_fits
from sam2_video.model.architecture import MICRO
from sam2_video.training.need import MemoryNeed

GB = 10**9


@pytest.fixture
def asked(monkeypatch):
    """Let the need be read off the settings; return what was asked for."""
    seen = []

    def predict(config, architecture, num_clips, num_objects, precision, device):
        trainer = config.trainer
        kept = {"none": 40, "clicks": 30, "light": 25, "cheap": 20, "frames": 10}
        size = kept[trainer.activation_checkpointing] * GB
        size *= min(trainer.clips_at_once or num_clips, num_clips)
        seen.append((num_clips, num_objects, precision, device))
        size //= num_objects // (trainer.objects_at_once or num_objects)
        return MemoryNeed(GB, 0, 0, 0, 0, size, 0)

    monkeypatch.setattr(fit, "predict_need", predict)
    return seen


def see(room, **settings):
    config = load_config(None, {name.replace("__", "."): x for name, x in settings.items()})
    return see_whether_it_fits(config, MICRO, "bf16-mixed", room, device="cuda")


def test_what_fits_needs_no_advice(asked):
    found = see(41 * GB + RESERVE, dataset__max_objects=4)
    assert found.fits
    assert found.options == ()
    assert asked == [(1, 4, "bf16-mixed", "cuda")]


def test_the_fastest_setting_that_fits_is_found_and_no_slower_one_tried(asked):
    found = see(41 * GB + RESERVE - 1, dataset__max_objects=4)
    assert not found.fits
    (option,) = found.options
    assert option.settings == {"trainer.activation_checkpointing": "light"}
    assert (option.need, option.fits) == (26 * GB, True)


def test_settings_add_up_from_the_fastest_to_the_smallest(asked):
    found = see(2 * GB, dataset__max_objects=4, dataset__batch_size=3)
    assert [list(option.settings.values()) for option in found.options] == [
        ["light"],
        ["cheap"],
        ["frames"],
        ["frames", 1],
        ["frames", 1, 2],
        ["frames", 1, 1],
    ]
    assert [name.split(".")[1] for name in found.options[-1].settings] == [
        "activation_checkpointing",
        "clips_at_once",
        "objects_at_once",
    ]
    assert not any(option.fits for option in found.options)


def test_what_is_set_already_is_not_advised(asked):
    small = {"trainer__activation_checkpointing": "frames", "trainer__objects_at_once": 1}
    assert see(GB, dataset__max_objects=4, **small).options == ()


def test_an_unknown_room_is_no_verdict(asked):
    assert see(None).fits


def test_the_network_is_what_is_named_or_assumed_and_told():
    named = load_config(None, {"model.config_path": "sam2.1-base-plus"})
    assert [(a.name, b) for a, b in [find_network(named)]] == [("sam2.1-base-plus", False)]
    assert [(a.name, b) for a, b in [find_network(load_config())]] == [("sam2.1-tiny", True)]
    checkpoint = load_config(None, {"model.checkpoint_path": "demo/micro.pt"})
    architecture, is_assumed = find_network(checkpoint)
    assert (architecture.embed_dim, is_assumed) == (MICRO.embed_dim, False)
