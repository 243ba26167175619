"""Read NIfTI volumes and TIFF files of several pages as stacks of slices."""

import zlib
from pathlib import Path
from types import ModuleType

import numpy as np
from jaxtyping import Num

from sam2_video.data.stack import Stack, check_bytes, keep
from sam2_video.image_file import open_image

NIFTI_ENDINGS = (".nii.gz", ".nii")
TIFF_ENDINGS = (".tif", ".tiff")
_DEPTHS = {"1": "bool", "L": "uint8", "P": "uint8", "RGB": "uint8", "I": "int32", "F": "float32"}


def read_nibabel(path: Path) -> ModuleType:
    """Return the package that reads NIfTI.

    Raises:
        ValueError: it is not installed.
    """
    try:
        import nibabel
    except ImportError as error:
        raise ValueError(
            f"{path}: NIfTI files need the package nibabel; "
            "pip install 'sam2-video-training[medical]', or nibabel itself"
        ) from error
    return nibabel


class NiftiStack(Stack):
    """A volume: its last axis are the slices, and a slice is shown as it is stored.

    Slices are [y, x], as SimpleITK and nnU-Net have them. An uncompressed file is mapped.
    """

    def __init__(self, path: Path) -> None:
        """Read the head of the file.

        Raises:
            ValueError: nibabel is missing, the file is damaged, or no volume of numbers.
        """
        image = _load_nifti(path)
        # a fourth axis of one entry is what some programs write for a single volume
        shape = list(image.shape)
        while len(shape) > 3 and shape[-1] == 1:
            shape.pop()
        if len(shape) != 3:
            raise ValueError(
                f"{path}: a volume of the shape {list(image.shape)}; expected [x, y, slices]: give "
                "each channel, or point in time, a file of its own (fslsplit, or nnU-Net's form)"
            )
        super().__init__(path, shape[::-1], image.get_data_dtype())
        self.affine = np.asarray(image.affine)
        self._scale = image.dataobj.slope, image.dataobj.inter

    def read(self, index: int) -> Num[np.ndarray, "height width"]:
        """Read a slice, its values scaled as the head says."""
        values = keep(self.path, self._load)[index]
        slope, shift = self._scale
        return values if (slope, shift) == (1, 0) else values * slope + shift

    def _load(self) -> np.ndarray:
        num_bytes = self.dtype.itemsize * self.num_slices * self.size[0] * self.size[1]
        if self.path.suffix == ".gz":
            check_bytes(self.path, num_bytes, "unpack it to .nii")
        try:
            array = _load_nifti(self.path).dataobj.get_unscaled()
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise _damaged(self.path, "a NIfTI volume", error) from error
        shape = self.size[1], self.size[0], self.num_slices
        return array.reshape(shape, order="F").T


def _load_nifti(path: Path):  # noqa: ANN202 (nibabel has no types)
    nibabel = read_nibabel(path)
    broken = (nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError)
    try:
        return nibabel.load(path)
    except (*broken, OSError, EOFError, ValueError, zlib.error) as error:
        raise _damaged(path, "a NIfTI volume", error) from error


def _damaged(path: Path, kind: str, error: Exception) -> ValueError:
    return ValueError(f"{path}: cannot be read as {kind} ({error}); export or copy it again")


class TiffStack(Stack):
    """A TIFF file, a slice a page."""

    def __init__(self, path: Path) -> None:
        """Read the head of the file.

        Raises:
            ValueError: it is damaged, or of a kind that Pillow does not read.
        """
        num_pages, (width, height), mode = _read_pages(path)
        depth = "uint16" if mode.startswith("I;16") else _DEPTHS.get(mode)
        if depth is None:
            raise ValueError(
                f"{path}: pages of Pillow's mode {mode}; expected grey of 8, 16 or 32 bits, or "
                "RGB: convert the file"
            )
        shape = (num_pages, height, width) + ((3,) if mode == "RGB" else ())
        super().__init__(path, shape, np.dtype(depth))
        self._mode = mode

    def read(self, index: int) -> Num[np.ndarray, "height width *colours"]:
        """Read a page, which must be like the first one."""
        try:
            with open_image(self.path) as image:
                image.seek(index)
                found = image.height, image.width, image.mode
                if found == (*self.size, self._mode):
                    return np.asarray(image).astype(self.dtype)
        except (OSError, SyntaxError, EOFError) as error:
            raise _damaged(self.path, f"TIFF, page {index}", error) from error
        raise ValueError(
            f"{self.path}, page {index}: {found[0]}x{found[1]} (height x width) of mode {found[2]},"
            f" the first page is {self.size[0]}x{self.size[1]} of mode {self._mode}; split the file"
        )


def _read_pages(path: Path) -> tuple[int, tuple[int, int], str]:
    try:
        with open_image(path) as image:
            return getattr(image, "n_frames", 1), image.size, image.mode
    except (OSError, SyntaxError, EOFError) as error:
        raise _damaged(path, "TIFF", error) from error


def has_pages(path: Path) -> bool:
    """Say whether a path is a TIFF file of several pages."""
    return path.suffix.lower() in TIFF_ENDINGS and path.is_file() and _read_pages(path)[0] > 1
