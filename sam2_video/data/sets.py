"""Open the data sets of a configuration, and split each into training and validation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from sam2_video.config import DatasetConfig, every_set
from sam2_video.data.davis import read_split_lists
from sam2_video.data.layout import open_dataset
from sam2_video.data.sampling import ClipSettings, can_be_supervised, is_still
from sam2_video.data.split import Split, split_by_lists, split_videos
from sam2_video.data.video import Video


@dataclass(frozen=True)
class DataSet:
    """The videos of one data set, and how its clips are drawn."""

    train: tuple[Video, ...]
    validation: tuple[Video, ...]
    settings: ClipSettings
    clips_per_video: float

    @property
    def num_single_frames(self) -> int:
        """Return how many training videos give clips of one frame."""
        if self.settings.length == 1:
            return len(self.train)
        is_single = self.settings.still_images == "single"
        return sum(is_still(video) for video in self.train) if is_single else 0


def open_sets(config: DatasetConfig, seed: int) -> tuple[DataSet, ...]:
    """Open the section's data set and those of `more`; no two videos keep the same name.

    Raises:
        ValueError: there is nothing to train on; says why.
        FileNotFoundError: there is no such folder or file.
    """
    opened: list[DataSet] = []
    for number, (one, weight) in enumerate(every_set(config)):
        train, validation = _open_split(one, seed, number, has_val_path=config.val_path is not None)
        clips_per_video = weight * one.clips_per_video
        found = DataSet(train, validation, clip_settings(one), clips_per_video)
        _name_apart(found, opened, one, number)
        _warn_of_untaught(found)
        if config.more:
            logger.info(
                f"data set {number}, {one.data_path}: {len(train)} videos to train on, "
                f"{clips_per_video:g} clips of each an epoch; {len(validation)} to validate on"
            )
        opened.append(found)
    return tuple(opened)


def clip_settings(config: DatasetConfig) -> ClipSettings:
    """Return how clips of a data set are cut."""
    stride = config.frame_stride
    low, high = (stride, stride) if isinstance(stride, int) else stride
    return ClipSettings(
        length=config.video_clip_length,
        frame_stride=(low, high),
        reverse_probability=config.reverse_probability,
        max_objects=config.max_objects,
        frame_stride_schedule=tuple((row[0], int(row[1])) for row in config.frame_stride_schedule),
        paste_probability=config.paste_probability,
        still_images=config.still_images,
    )


def _open_split(config: DatasetConfig, seed: int, number: int, *, has_val_path: bool) -> Split:
    """Open a data set and hold out what is validated on.

    Args:
        config: Of the data set.
        seed: Of the split.
        number: 0 for the section's own.
        has_val_path: The section names its validation videos, so none of `more` are split off.
    """
    if config.data_path is None:
        raise ValueError("dataset.data_path is not set; give a folder of videos or a COCO JSON")
    videos = _open(config, config.data_path, config.masks_path)
    if config.val_path is not None:
        return tuple(videos), tuple(_open(config, config.val_path, config.val_masks_path))
    return divide(videos, config, seed, number, has_val_path=has_val_path)


def divide(
    videos: Sequence[Video], config: DatasetConfig, seed: int, number: int, *, has_val_path: bool
) -> Split:
    """Hold out what a data set without a `val_path` of its own is validated on.

    Args:
        videos: Those that show an object.
        config: Of the data set.
        seed: Of the split.
        number: 0 for the section's own.
        has_val_path: The section names its validation videos, so none of `more` are split off.

    Raises:
        ValueError: the videos, or the lists of the data, leave nothing on one side.
    """
    assert config.data_path is not None
    if has_val_path or config.val_fraction == 0:
        return tuple(videos), ()
    if config.split == "auto" and config.format in ("auto", "davis"):
        lists = read_split_lists(
            Path(config.data_path).expanduser(), follow_links=config.follow_links
        )
        if lists is not None:
            return split_by_lists(videos, lists, config.data_path)
    moving = [video for video in videos if not is_still(video)]
    if not moving or (number and len(moving) < 2):
        logger.warning(
            f"{config.data_path}: nothing is held out: of {len(videos)} videos {len(moving)} have "
            "a second labelled frame to score; all are trained on"
        )
        return tuple(videos), ()
    _, validation = split_videos(moving, config.val_fraction, seed)
    held_out = {video.video_id for video in validation}
    return tuple(video for video in videos if video.video_id not in held_out), validation


def _open(config: DatasetConfig, data_path: str, masks_path: str | None) -> list[Video]:
    """Open a data set and leave out, aloud, the videos that show no object."""
    videos = open_dataset(
        data_path,
        masks_path,
        config.format,
        config.colour_palette,
        video_pattern=config.video_pattern,
        intensity_window=config.intensity_window,
        follow_links=config.follow_links,
    )
    empty = [video.video_id for video in videos if not video.has_objects]
    reason = "no object is visible on any labelled frame (value 0 is background, 255 is ignore)"
    if len(empty) == len(videos):
        raise ValueError(
            f"{data_path}: {reason} of {len(videos)} videos; write objects as 1, 2, ... in the "
            "masks"
        )
    if empty:
        logger.warning(
            f"{data_path}: {len(empty)} videos are left out ({', '.join(empty[:5])}): {reason}"
        )
    return [video for video in videos if video.has_objects]


def _name_apart(
    found: DataSet, others: Sequence[DataSet], config: DatasetConfig, number: int
) -> None:
    """Put the data set's name before its videos' where another set has videos of the same names."""
    known_train = {video.video_id for one in others for video in one.train}
    known_validation = {video.video_id for one in others for video in one.validation}
    clash = known_train & {video.video_id for video in found.train}
    clash |= known_validation & {video.video_id for video in found.validation}
    if not clash:
        return
    prefix = f"set{number}-"
    for video in (*found.train, *found.validation):
        video.video_id = prefix + video.video_id
    logger.info(
        f"{config.data_path}: {len(clash)} videos are named like videos of another data set "
        f"({', '.join(sorted(clash)[:3])}): all of this one's are called {prefix}NAME"
    )


def _warn_of_untaught(found: DataSet) -> None:
    untaught = [v for v in found.train if not can_be_supervised(v, found.settings)]
    can_move = found.settings.still_images == "repeat"
    stills = [video.video_id for video in untaught if is_still(video) and can_move]
    sparse = [video.video_id for video in untaught if not is_still(video)]
    if sparse:
        logger.warning(
            f"no clip of {len(sparse)} videos ({', '.join(sparse[:5])}) can hold two labelled "
            "frames, so they teach no tracking; raise dataset.frame_stride or "
            "dataset.video_clip_length"
        )
    if stills:
        logger.warning(
            f"{len(stills)} videos ({', '.join(stills[:5])}) have one labelled frame, so they "
            "teach no tracking; dataset.still_images: motion makes clips of them"
        )
