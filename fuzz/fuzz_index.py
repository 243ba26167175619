"""The index of what was found out about a data set."""

import tempfile
from pathlib import Path

import numpy as np

from fuzz.harness import Target, fuzz
from fuzz.mutators import mutate_zip
from sam2_video.data.facts import THUMBNAIL, VideoFacts
from sam2_video.data.index import Known, load_index, save_index


def _seeds():
    facts = VideoFacts(
        size=(8, 8),
        shown=np.array([0, -1, 1], np.int32),
        sets=((1, 2), ()),
        areas=np.array([3, 4], np.int64),
        pictured=np.array([0], np.int32),
        thumbnails=np.zeros((1, THUMBNAIL, THUMBNAIL), np.uint8),
        repeats=np.zeros((0, 2), np.int32),
        faults=(),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "i.npz")
        save_index(path, {"a": Known(facts, b"1" * 16, b"2" * 16)})
        return [path.read_bytes()]


if __name__ == "__main__":
    fuzz("index", Target(load_index, _seeds, "i.npz", mutator=mutate_zip))
