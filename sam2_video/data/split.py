"""Hold videos out for validation: by the seed, or as the lists of a data set say."""

from collections.abc import Sequence

import numpy as np
from loguru import logger

from sam2_video.data.davis import SplitLists
from sam2_video.data.video import Video

Split = tuple[tuple[Video, ...], tuple[Video, ...]]
"""Training and validation videos."""


def split_videos(videos: Sequence[Video], fraction: float, seed: int) -> Split:
    """Split videos into training and validation, whole videos, at least one on each side."""
    if fraction == 0:
        return tuple(videos), ()
    if len(videos) < 2:
        raise ValueError(
            f"dataset.val_fraction is {fraction} but there is {len(videos)} video with objects, "
            "which cannot be split; give dataset.val_path, or set dataset.val_fraction to 0"
        )
    count = min(max(round(fraction * len(videos)), 1), len(videos) - 1)
    held_out = set(np.random.default_rng([seed, len(videos)]).permutation(len(videos))[:count])
    train = tuple(video for i, video in enumerate(videos) if i not in held_out)
    validation = tuple(video for i, video in enumerate(videos) if i in held_out)
    return train, validation


def split_by_lists(videos: Sequence[Video], lists: SplitLists, where: str) -> Split:
    """Split videos as a data set's own lists say; what they do not name is left out, aloud.

    Raises:
        ValueError: no video is left to train on, or none to validate on.
    """
    train = tuple(video for video in videos if video.video_id in lists.train)
    validation = tuple(video for video in videos if video.video_id in lists.validation)
    if not train or not validation:
        raise ValueError(
            f"{where}: {lists.folder} lists train.txt and val.txt, but of {len(videos)} videos "
            f"with objects {len(train)} are in the one and {len(validation)} in the other; correct "
            "the lists, give dataset.val_path, or set dataset.split: seed"
        )
    neither = len({video.video_id for video in videos} - lists.train - lists.validation)
    logger.info(
        f"{where}: split by the lists in {lists.folder}: {len(train)} videos of train.txt, "
        f"{len(validation)} of val.txt" + (f"; {neither} in neither are left out" * bool(neither))
    )
    return train, validation
