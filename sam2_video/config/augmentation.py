"""The section `augmentation`: how training clips are changed at random."""

from dataclasses import dataclass
from typing import Literal

from sam2_video.config.setting import setting


@dataclass(frozen=True)
class AugmentationConfig:
    """How training clips are changed at random; null = as the preset says."""

    preset: Literal["off", "light", "official", "strong"] = setting(
        "official",
        "how much: official is Meta's MOSE fine-tuning; docs/augmentation.md has a table",
    )
    horizontal_flip: float | None = setting(None, "share of clips mirrored left-right", ge=0, le=1)
    vertical_flip: float | None = setting(
        None, "share of clips mirrored top-bottom: for microscopy; 0 in all presets", ge=0, le=1
    )
    degrees: float | None = setting(None, "largest rotation, to either side", ge=0, le=180)
    shear: float | None = setting(None, "largest horizontal shear in degrees", ge=0, le=60)
    scale: float | None = setting(
        None, "largest zoom: 0.25 = by a factor from 1 / 1.25 to 1.25", ge=0, le=3
    )
    translate: float | None = setting(
        None, "largest shift, as a share of height and width", ge=0, le=1
    )
    crop: float | None = setting(
        None, "smallest share of the frame's area that a crop keeps; 1 = no crop", gt=0, le=1
    )
    brightness: float | None = setting(
        None, "largest change of the clip's brightness: 0.1 = factor 0.9 to 1.1", ge=0
    )
    contrast: float | None = setting(None, "likewise its contrast", ge=0)
    saturation: float | None = setting(None, "likewise its saturation", ge=0)
    hue: float | None = setting(None, "largest turn of the clip's hue: 0.5 = half", ge=0, le=0.5)
    grey: float | None = setting(None, "share of clips without colour", ge=0, le=1)
    frame_brightness: float | None = setting(
        None, "like brightness, drawn for each frame: flicker", ge=0
    )
    frame_contrast: float | None = setting(None, "like contrast, drawn for each frame", ge=0)
    frame_saturation: float | None = setting(None, "like saturation, drawn for each frame", ge=0)
    blur: float | None = setting(None, "share of clips that are blurred", ge=0, le=1)
    blur_sigma: float | None = setting(
        None, "largest Gaussian blur: sigma in pixels of the model's input", ge=0, le=20
    )
    noise: float | None = setting(
        None, "largest Gaussian noise: standard deviation, as a share of white", ge=0, le=1
    )
