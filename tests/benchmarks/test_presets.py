"""Each preset fits into its card, as far as the prediction tells, and is recorded as it is."""

import json
import os

import pytest

from benchmarks.memory_page import PAGE, write_tables
from benchmarks.presets import RESULTS, SAMPLE, describe, hash_preset, preset_path, see
from sam2_video.configuration import load_config
from sam2_video.diagnosis.fit import RESERVE
from sam2_video.diagnosis.presets import PRESETS, card_bytes

RECORDED = json.loads(RESULTS.read_text())
CARDS = RECORDED["cards"]
AGAIN = "run: python -m benchmarks.presets"


def test_the_page_holds_the_table_of_the_recorded_results():
    page = PAGE.read_text()
    assert page == write_tables(page), AGAIN


@pytest.mark.parametrize("card", PRESETS)
def test_a_preset_fits_and_leaves_little_unused(card):
    row = CARDS[str(card)]
    assert row["preset"] == hash_preset(card), f"{preset_path(card)} has changed; {AGAIN}"
    assert row["total"] + RESERVE <= card_bytes(card)
    assert 0.74 < row["total"] / (card * 1e9) < 0.87


@pytest.mark.parametrize("card", PRESETS)
def test_a_preset_trains_at_the_size_of_metas_weights(card):
    config = load_config(preset_path(card))
    assert config.dataset.image_size == [1024, 1024]
    assert config.model.config_path == CARDS[str(card)]["network"]
    assert config.model.trainable_modules == CARDS[str(card)]["learns"]


def test_the_record_is_of_this_code():
    """A short clip of one preset tells: all of them take minutes."""
    _, fit = see(*SAMPLE)
    assert fit.need.total == pytest.approx(RECORDED["sample"], rel=0.02), AGAIN


@pytest.mark.slow
@pytest.mark.skipif("SLOW" not in os.environ, reason="takes minutes; SLOW=1 runs it")
@pytest.mark.parametrize("card", PRESETS)
def test_every_record_is_of_this_code(card):
    assert describe(card)["total"] == pytest.approx(CARDS[str(card)]["total"], rel=0.02), AGAIN
