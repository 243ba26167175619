"""Stacks of images and labels as TIFF files of several pages."""

import io

import numpy as np
from PIL import Image

from fuzz.data import SIDE, read_all
from fuzz.harness import Target, fuzz
from sam2_video.data.stacks import open_stacks


def _seeds():
    values = np.arange(SIDE * SIDE * 3).reshape(SIDE, SIDE, 3) % 5
    pages = [values[..., 0].astype(dtype) for dtype in (np.uint8, np.uint16, np.int32, np.float32)]
    for page in (*pages, values.astype(np.uint8)):
        for packing in ("raw", "tiff_lzw", "tiff_adobe_deflate"):
            first, *rest = [Image.fromarray(page) for _ in range(3)]
            buffer = io.BytesIO()
            first.save(buffer, "TIFF", save_all=True, append_images=rest, compression=packing)
            yield buffer.getvalue()


def _read(path):
    # the values of the images are the labels as well
    read_all(open_stacks("tiff", path, path))


if __name__ == "__main__":
    fuzz("tiff", Target(_read, lambda: list(_seeds()), "v.tif"))
