"""Checks that frames stay what they were when they were encoded for the feature cache."""

from collections.abc import Iterator

from sam2_video.config import AugmentationConfig, TrainConfig
from sam2_video.configuration.problems import Problem, shown

GEOMETRY = ("horizontal_flip", "vertical_flip", "degrees", "shear", "scale", "translate", "crop")
COLOURS = (
    "brightness",
    "contrast",
    "saturation",
    "hue",
    "grey",
    "frame_brightness",
    "frame_contrast",
    "frame_saturation",
    "blur",
    "noise",
)
_ENCODED = "with dataset.feature_cache, whose frames are encoded before training"


def check_feature_cache(config: TrainConfig) -> Iterator[Problem]:
    """Yield what the cache cannot be used with, or what would be ignored without it."""
    dataset = config.dataset
    if dataset.feature_cache is None:
        for name, default in (("feature_cache_dtype", "bf16"), ("feature_cache_variants", 1)):
            value = getattr(dataset, name)
            if value != default:
                expected = f"{default} where dataset.feature_cache is null; name a folder there"
                yield _problem(f"dataset.{name}", value, expected)
        return
    yield from _augmentation(config.augmentation, dataset.feature_cache_variants)
    sections = [("dataset.", dataset)]
    sections += [(f"dataset.more[{place}].", extra) for place, extra in enumerate(dataset.more)]
    for prefix, one in sections:
        if one.paste_probability:
            yield _problem(
                prefix + "paste_probability",
                one.paste_probability,
                f"0 {_ENCODED}: a clip over which others are pasted shows other pixels",
            )
        if one.still_images == "motion":
            yield _problem(
                prefix + "still_images",
                "motion",
                f"repeat or single {_ENCODED}: a still that moves shows other pixels on each frame",
            )


def _augmentation(settings: AugmentationConfig, num_variants: int) -> Iterator[Problem]:
    if settings.preset != "off":
        yield _problem(
            "augmentation.preset",
            settings.preset,
            f"off {_ENCODED}: all other presets change colours at each step; geometry may be set "
            f"beside it ({', '.join(GEOMETRY)}), with dataset.feature_cache_variants",
        )
    for name in COLOURS:
        if getattr(settings, name):
            yield _problem(
                f"augmentation.{name}",
                getattr(settings, name),
                f"0 or null {_ENCODED}: it changes colours at each step",
            )
    moved = [name for name in GEOMETRY if getattr(settings, name) not in (None, _still(name))]
    if moved and num_variants == 1:
        yield _problem(
            "dataset.feature_cache_variants",
            num_variants,
            f"2 or more, because augmentation.{moved[0]} moves the pixels of a clip, and {_ENCODED}"
            " only so many geometries can be drawn; or no geometric augmentation",
        )
    if not moved and num_variants > 1 and settings.preset == "off":
        yield _problem(
            "dataset.feature_cache_variants",
            num_variants,
            f"1, because no geometric augmentation ({', '.join(GEOMETRY)}) is on: all variants "
            "would be the same",
        )


def _still(name: str) -> float:
    """Return the value of a geometric setting that changes nothing."""
    return 1.0 if name == "crop" else 0.0


def _problem(path: str, value: object, expected: str) -> Problem:
    return Problem(path, f"got {shown(value)}; expected {expected}")
