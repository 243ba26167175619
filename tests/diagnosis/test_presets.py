"""A GPU's preset: the largest made for no more memory than torch sees of it."""

from pathlib import Path

import pytest

from sam2_video.diagnosis.presets import PRESETS, find_preset

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("seen", "card"),
    [
        # what torch reports of a 2080 Ti, T4, A10, 4090, A100-40, L40S, A100-80, H200
        (11.5e9, 11),
        (15.6e9, 16),
        (23.5e9, 24),
        (25.3e9, 24),
        (42.3e9, 24),
        (47.7e9, 48),
        (85.0e9, 80),
        (150.0e9, 80),
    ],
)
def test_the_preset_of_a_card(seen, card):
    assert find_preset(int(seen)) == f"configs/gpu-{card}gb.yaml"


def test_a_card_smaller_than_all_presets_has_none():
    assert find_preset(6 * 10**9) is None


def test_there_is_a_file_for_each_card_and_none_besides():
    files = {path.name for path in (ROOT / "configs").glob("gpu-*.yaml")}
    assert files == {f"gpu-{card}gb.yaml" for card in PRESETS}
