"""Stacks of images and labels as NPZ."""

import io

import numpy as np

from fuzz.data import SIDE, read_all
from fuzz.harness import Target, fuzz
from fuzz.mutators import mutate_zip
from sam2_video.data import stack
from sam2_video.data.stacks import open_stacks


def _save(write, images, labels):
    buffer = io.BytesIO()
    write(buffer, imgs=images, gts=labels)
    return buffer.getvalue()


def _seeds():
    images = np.arange(3 * SIDE * SIDE, dtype=np.uint8).reshape(3, SIDE, SIDE)
    labels = (images % 5 == 0).astype(np.uint8)
    pickled = np.array([{"a": 1}], dtype=object)
    return [
        _save(np.savez, images, labels),
        _save(np.savez_compressed, images[..., None].repeat(3, -1), labels),
        _save(np.savez, images.astype(np.int16), labels),
        _save(np.savez, pickled, labels),
    ]


def _read(path):
    # arrays are kept by the name of their file
    stack._of_process.clear()
    read_all(open_stacks("npz", path))


if __name__ == "__main__":
    fuzz("npz", Target(_read, _seeds, "v.npz", mutator=mutate_zip))
