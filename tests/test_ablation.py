"""docs/results.md shows the ablation that was measured, and its variants can be run."""

import json
import math

import pytest

from benchmarks.ablation import RESULTS, facts
from benchmarks.ablation_page import BEGIN, END, PAGE, TITLES, run_deviation, write_section
from benchmarks.ablation_variants import BASE, BY_NAME, SEEDS, VARIANTS, describe, name_of, plan
from demo.run import CHECKPOINT
from sam2_video.configuration import config_from_keywords


def row(variant, seed, j, **more):
    return {"variant": variant, "seed": seed, "j": {"mask": j}, **more}


@pytest.fixture(scope="module")
def result():
    return json.loads(RESULTS.read_text())


def test_the_page_holds_the_table_of_the_recorded_result(result):
    page = PAGE.read_text()
    assert page == write_section(page, result), "run: python -m benchmarks.ablation --page"


def test_every_variant_is_recorded_with_the_settings_that_stand_in_the_code(result):
    assert result["settings"] == facts()["settings"]
    recorded = {
        name: {key: found[key] for key in ("changes", "start")}
        for name, found in result["rows"].items()
    }
    assert recorded == {name_of(variant, seed): describe(variant) for variant, seed in plan()}


def test_every_variant_has_its_words_in_the_table():
    assert list(TITLES) == list(BY_NAME)


def test_a_variant_begins_with_one_that_runs_before_it():
    order = [variant.name for variant in VARIANTS]
    for variant in VARIANTS:
        if variant.start is not None:
            assert order.index(variant.start) < order.index(variant.name)


def test_the_first_seed_of_all_variants_runs_before_the_second_of_any():
    seeds = [seed for _, seed in plan()]
    assert seeds == sorted(seeds)
    assert set(seeds) == set(SEEDS)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_variant_is_a_configuration_that_can_train(name, tmp_path):
    settings = BY_NAME[name].settings()
    config = config_from_keywords(
        data=tmp_path, checkpoint=CHECKPOINT, config_path="micro", **settings
    )
    assert config.prompts.conditioning_frames == 1
    assert config.trainer.validate_every == BASE["validate_every"]


def test_a_section_is_changed_key_by_key():
    losses = BY_NAME["temporal loss 1"].settings()["losses"]
    assert losses == {**BASE["losses"], "temporal": 1.0}
    assert "temporal" not in BASE["losses"]


def test_the_deviation_of_a_run_is_pooled_over_the_variants_that_have_two():
    rows = [
        *(row("zero-shot", 0, 0.9), row("memory-only", 0, 0.1), row("memory-only", 1, 0.3)),
        *(row("full", 0, 0.5), row("full", 1, 0.5)),
    ]
    # variances 0.02 and 0, of one degree of freedom each
    assert run_deviation(rows, "mask") == pytest.approx(0.1)
    assert math.isnan(run_deviation(rows[:2], "mask"))


def test_the_table_gives_the_mean_of_the_seeds_and_half_their_distance():
    costs = {"trainable_parameters": 12_345, "peak_memory_gb": 1.5}
    rows = {
        "a": row("zero-shot", 0, 0.03),
        "b": row("memory-only", 0, 0.70, cpu_seconds=90, **costs),
        "c": row("memory-only", 1, 0.72, cpu_seconds=110, **costs),
    }
    page = write_section(f"before\n{BEGIN}\nold\n{END}\nafter\n", {"rows": rows})
    assert "| nothing learns | 0 | 0.030 |  |  |" in page
    assert "| 12k | 0.710 ± 0.010 | 100 | 1.50 |" in page
    assert page.startswith(f"before\n{BEGIN}\n")
    assert page.endswith(f"{END}\nafter\n")
    assert "old" not in page


def test_a_page_without_a_place_for_the_table_is_an_error():
    with pytest.raises(ValueError, match="expected the lines"):
        write_section("no markers", {"rows": {"a": row("zero-shot", 0, 0.03)}})
