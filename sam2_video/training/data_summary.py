"""Look at some videos of a data set: which objects they show, when, and how large."""

import math
from collections.abc import Sequence

import numpy as np

from sam2_video.data.video import Video
from sam2_video.structures import OBJECT
from sam2_video.training.kept_masks import spread
from sam2_video.visualise import ObjectTimes

MOST_FRAMES = 32
MOST_TRAINING, MOST_VALIDATION = 10, 4
MOST_SCANNED = 3000
"""Frames: an object may hide on any of them, so all annotations of a video are read."""


def look_at(video: Video, image_size: tuple[int, int]) -> ObjectTimes:
    """Read what up to `MOST_FRAMES` labelled frames say of the objects."""
    ids = video.object_ids
    labelled_frames = np.array(video.labelled_frames)
    frames = labelled_frames[list(spread(len(labelled_frames), MOST_FRAMES))]
    sides = np.zeros((len(ids), len(frames)))
    labelled = np.array([[video.is_labelled(f, name) for f in frames.tolist()] for name in ids])
    scale = math.prod(image_size) / math.prod(video.size)
    for column, frame in enumerate(frames.tolist()):
        areas = (video.read_masks(frame, ids) == OBJECT).flatten(1).sum(1)
        sides[:, column] = np.sqrt(areas.numpy() * scale)
    step = math.ceil(len(labelled_frames) / len(frames))
    return ObjectTimes(video.video_id, video.num_frames, ids, frames, step, sides, labelled)


def choose_videos(videos: Sequence[Video], count: int) -> list[Video]:
    """Return evenly chosen videos, as many as can be read through quickly, at least one."""
    chosen: list[Video] = []
    for place in spread(len(videos), count):
        num_frames = sum(video.num_frames for video in chosen) + videos[place].num_frames
        if chosen and num_frames > MOST_SCANNED:
            break
        chosen.append(videos[place])
    return chosen
