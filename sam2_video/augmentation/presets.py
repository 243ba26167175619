"""How strongly clips are changed: four presets, and single settings in their place."""

from dataclasses import dataclass, fields, replace

from sam2_video.config import AugmentationConfig


@dataclass(frozen=True)
class Strengths:
    """What `AugmentationConfig` comes to: the same settings, none of them left open.

    The values here change nothing.
    """

    horizontal_flip: float = 0.0
    vertical_flip: float = 0.0
    degrees: float = 0.0
    shear: float = 0.0
    scale: float = 0.0
    translate: float = 0.0
    crop: float = 1.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    grey: float = 0.0
    frame_brightness: float = 0.0
    frame_contrast: float = 0.0
    frame_saturation: float = 0.0
    blur: float = 0.0
    blur_sigma: float = 2.0
    noise: float = 0.0


PRESETS = {
    "off": Strengths(),
    "light": Strengths(
        horizontal_flip=0.5,
        degrees=10.0,
        scale=0.1,
        translate=0.05,
        brightness=0.1,
        contrast=0.03,
        saturation=0.03,
        frame_brightness=0.05,
        frame_contrast=0.02,
        frame_saturation=0.02,
    ),
    # sam2.1_hiera_b+_MOSE_finetune.yaml, which has no other changes
    "official": Strengths(
        horizontal_flip=0.5,
        degrees=25.0,
        shear=20.0,
        brightness=0.1,
        contrast=0.03,
        saturation=0.03,
        grey=0.05,
        frame_brightness=0.1,
        frame_contrast=0.05,
        frame_saturation=0.05,
    ),
    "strong": Strengths(
        horizontal_flip=0.5,
        degrees=30.0,
        shear=20.0,
        scale=0.25,
        translate=0.1,
        crop=0.5,
        brightness=0.3,
        contrast=0.3,
        saturation=0.3,
        hue=0.05,
        grey=0.1,
        frame_brightness=0.15,
        frame_contrast=0.1,
        frame_saturation=0.1,
        blur=0.2,
        noise=0.04,
    ),
}


def choose_strengths(settings: AugmentationConfig) -> Strengths:
    """Return the preset with the settings that are given in its place.

    >>> choose_strengths(AugmentationConfig(preset="light", degrees=5.0)).degrees
    5.0
    """
    given = {entry.name: getattr(settings, entry.name) for entry in fields(Strengths)}
    given = {name: value for name, value in given.items() if value is not None}
    return replace(PRESETS[settings.preset], **given)
