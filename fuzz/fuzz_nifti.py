"""Stacks of images and labels as NIfTI, plain and packed."""

import gzip

import nibabel
import numpy as np

from fuzz.data import SIDE, read_all
from fuzz.harness import Target, fuzz
from sam2_video.data import stack
from sam2_video.data.stacks import open_stacks


def _seeds():
    values = np.arange(3 * SIDE * SIDE).reshape(SIDE, SIDE, 3) % 5
    for dtype in (np.uint8, np.int16, np.float32):
        image = nibabel.Nifti1Image(values.astype(dtype), np.eye(4))
        if dtype is np.float32:
            image.header.set_slope_inter(2, 1)
        yield image.to_bytes()
    yield nibabel.Nifti2Image(values.astype(np.uint8), np.eye(4)).to_bytes()


def _read(path):
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes(), 1))
    for file in (path, packed):
        # arrays are kept by the name of their file
        stack._of_process.clear()
        try:
            # the values of the images are the labels as well
            read_all(open_stacks("nifti", file, file))
        except (ValueError, OSError) as error:
            if path.name not in str(error):
                raise


if __name__ == "__main__":
    fuzz("nifti", Target(_read, lambda: list(_seeds()), "v.nii"))
