"""The section `dataset`: where the videos are and how clips are cut from them."""

# ruff: noqa: RUF009 (`setting` stands for `field` and copies lists itself)

from dataclasses import dataclass, fields, replace
from typing import Literal

from sam2_video.config.setting import setting

Format = Literal[
    "auto",
    "video_directory",
    "davis",
    "objects",
    "sav",
    "coco",
    "ytvis",
    "npz",
    "nifti",
    "tiff",
    "images",
]
StillImages = Literal["repeat", "motion", "single"]
PLACES = (
    "data_path",
    "masks_path",
    "val_path",
    "val_masks_path",
    "colour_palette",
    "video_pattern",
    "intensity_window",
)
"""What a data set of `more` never takes from the section: where its data lie."""


@dataclass(frozen=True)
class MoreData:
    """One more data set of `dataset.more`.

    Where it lies is its own; of how clips are drawn, what is null is taken from the section.
    """

    data_path: str | None = setting(None, "a folder of videos or of images, or a COCO JSON file")
    masks_path: str | None = setting(None, "like dataset.masks_path")
    val_path: str | None = setting(None, "like dataset.val_path; null = split, or all trained on")
    val_masks_path: str | None = setting(None, "like dataset.masks_path, for val_path")
    format: Format = setting("auto", "like dataset.format")
    colour_palette: list[list[int]] | None = setting(None, "like dataset.colour_palette")
    video_pattern: str | None = setting(None, "like dataset.video_pattern")
    intensity_window: list[float] | None = setting(None, "like dataset.intensity_window")
    follow_links: bool | None = setting(None, "like dataset.follow_links")
    weight: float = setting(
        1.0,
        "how often each of its videos counts: clips of a video = weight x clips_per_video",
        gt=0,
    )
    val_fraction: float | None = setting(None, "like dataset.val_fraction", ge=0, lt=1)
    split: Literal["auto", "seed"] | None = setting(None, "like dataset.split")
    video_clip_length: int | None = setting(None, "like dataset.video_clip_length", ge=1)
    frame_stride: list[int] | int | None = setting(None, "like dataset.frame_stride", ge=1)
    frame_stride_schedule: list[list[float]] | None = setting(
        None, "like dataset.frame_stride_schedule"
    )
    reverse_probability: float | None = setting(
        None, "like dataset.reverse_probability", ge=0, le=1
    )
    paste_probability: float | None = setting(None, "like dataset.paste_probability", ge=0, le=1)
    still_images: StillImages | None = setting(None, "like dataset.still_images")
    clips_per_video: int | None = setting(None, "like dataset.clips_per_video", ge=1)
    max_objects: int | None = setting(None, "like dataset.max_objects", ge=1)


@dataclass(frozen=True)
class DatasetConfig:
    """Where the videos are and how clips are cut from them."""

    data_path: str | None = setting(None, "a folder of videos, or a COCO JSON file")
    masks_path: str | None = setting(
        None, "masks in a parallel tree (video directory), or the images' folder of a COCO file"
    )
    val_path: str | None = setting(
        None, "validation videos, same layouts; null = split off `val_fraction` of the videos"
    )
    val_masks_path: str | None = setting(None, "like masks_path, for val_path")
    val_fraction: float = setting(
        0.2, "share of the videos held out when val_path is null; 0 = no validation", ge=0, lt=1
    )
    split: Literal["auto", "seed"] = setting(
        "auto",
        "what is held out: auto = the lists ImageSets/**/val.txt of a DAVIS tree, if any; else "
        "drawn by the seed",
    )
    format: Format = setting(
        "auto",
        "layout of the data; auto = recognised, and said; images = single images, only when named",
    )
    image_size: list[int] = setting(
        [512, 512],
        "height, width of the model's input, multiples of 32 (Meta's weights were trained at 1024)",
    )
    video_clip_length: int = setting(5, "frames a clip", ge=1)
    frame_stride: list[int] | int = setting(
        [1, 1],
        "smallest and largest step between the frames of a clip, drawn for each clip; or one step",
        ge=1,
    )
    frame_stride_schedule: list[list[float]] = setting(
        [],
        "[[progress, largest step], ...]: largest step from this share of max_epochs on, in place "
        "of frame_stride's",
    )
    reverse_probability: float = setting(0.5, "share of the clips played backwards", ge=0, le=1)
    paste_probability: float = setting(
        0.0, "share of the clips over which objects of another video are pasted", ge=0, le=1
    )
    still_images: StillImages = setting(
        "repeat",
        "clip of a video of one labelled frame: repeat it, move it smoothly, or a single frame",
    )
    clips_per_video: int = setting(1, "clips drawn from each video in an epoch", ge=1)
    max_objects: int = setting(
        3, "objects of a clip, chosen evenly; the rest is not computed", ge=1
    )
    batch_size: int | Literal["auto"] = setting(
        1, "clips a step and device, or auto = as many as fit into memory", ge=1
    )
    num_workers: int | None = setting(
        None, "loading processes; null = by the number of cores", ge=0
    )
    on_bad_sample: Literal["stop", "skip"] = setting(
        "stop",
        "a training clip that cannot be read, such as of a damaged file: stop, or skip = a clip of "
        "another video in its place, counted and named",
    )
    max_bad_samples: int = setting(
        10,
        "different faults, in all processes, that are skipped; one more, and the run stops",
        ge=0,
    )
    colour_palette: list[list[int]] | None = setting(
        None, "[[r, g, b], ...]: RGB masks are read as objects 1, 2, ... by these colours"
    )
    video_pattern: str | None = setting(
        None,
        "regular expression that finds (?P<frame>...), and (?P<video>...), in the file names of a "
        "COCO file without video_id",
    )
    intensity_window: list[float] | None = setting(
        None,
        "[low, high]: values of stacks (NPZ, NIfTI, TIFF) that become black and white; null = 8 "
        "bits as they are, of others the 0.5th and 99.5th percentile of each",
    )
    follow_links: bool = setting(
        False,
        "read files outside the data set that symbolic links in it lead to; data_path and "
        "masks_path themselves may always be links",
    )
    feature_cache: str | None = setting(
        None,
        "a folder: what a frozen image encoder says of the training frames is kept there, and no "
        "step computes it again; null = no cache",
    )
    feature_cache_dtype: Literal["bf16", "fp32"] = setting(
        "bf16", "how it is stored; fp32 is twice as large and exact"
    )
    feature_cache_variants: int = setting(
        1,
        "in how many geometries each video is stored: itself, and the rest as augmentation draws",
        ge=1,
    )
    more: list[MoreData] = setting(
        [], "[{data_path: ..., weight: 2.0}, ...]: data sets beside this one; see docs/data.md"
    )


def every_set(config: DatasetConfig) -> tuple[tuple[DatasetConfig, float], ...]:
    """Return the settings and the weight of each data set: the section's own, then `more`.

    Of `more`, what is null and how clips are drawn comes from the section.
    """
    own = replace(config, more=[])
    sets = [(own, 1.0)]
    for extra in config.more:
        given = {entry.name: getattr(extra, entry.name) for entry in fields(extra)}
        weight = given.pop("weight")
        kept = {name: value for name, value in given.items() if value is not None or name in PLACES}
        sets.append((replace(own, **kept), weight))
    return tuple(sets)
