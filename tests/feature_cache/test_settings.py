"""Settings that a feature cache cannot be used with, or that need one."""

import pytest

from sam2_video.configuration import load_config

PASTED = "a clip over which others are pasted"
COLOURS = "changes colours at each step"


@pytest.mark.parametrize(
    ("overrides", "key", "expected"),
    [
        ({"augmentation.preset": "official"}, "augmentation.preset", "dataset.feature_cache"),
        ({"augmentation.hue": 0.1}, "augmentation.hue", COLOURS),
        ({"dataset.paste_probability": 0.1}, "dataset.paste_probability", PASTED),
        ({"dataset.still_images": "motion"}, "dataset.still_images", "dataset.feature_cache"),
        (
            {"dataset.more": [{"data_path": "x", "paste_probability": 0.5}]},
            "dataset.more[0].paste_probability",
            PASTED,
        ),
        (
            {"augmentation.degrees": 10.0},
            "dataset.feature_cache_variants",
            "augmentation.degrees moves the pixels",
        ),
        (
            {"dataset.feature_cache_variants": 2},
            "dataset.feature_cache_variants",
            "all variants would be the same",
        ),
        (
            {"dataset.feature_cache": None, "dataset.feature_cache_variants": 2},
            "dataset.feature_cache_variants",
            "where dataset.feature_cache is null",
        ),
        (
            {"dataset.feature_cache": None, "dataset.feature_cache_dtype": "fp32"},
            "dataset.feature_cache_dtype",
            "where dataset.feature_cache is null",
        ),
    ],
)
def test_what_cannot_be_cached_is_refused_by_both_keys(overrides, key, expected):
    given = {"dataset.feature_cache": "cache", "augmentation.preset": "off"} | overrides
    with pytest.raises(ValueError, match="1 error in") as error:
        load_config(None, given)
    assert key in str(error.value)
    assert expected in str(error.value)


def test_geometry_and_neutral_colours_may_stand_beside_a_cache():
    given = {
        "dataset.feature_cache": "cache",
        "dataset.feature_cache_variants": 4,
        "augmentation.preset": "off",
        "augmentation.degrees": 10.0,
        "augmentation.hue": 0.0,
        "augmentation.crop": 1.0,
    }
    assert load_config(None, given).dataset.feature_cache_variants == 4
