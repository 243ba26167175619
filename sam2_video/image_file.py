"""Open image files through Pillow: known formats only, and no larger than memory should hold."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from sam2_video.limits import check_pixels

# whatever the file is called: Pillow would else run Ghostscript on what looks like PostScript
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
# what Pillow raises on damaged files, beside OSError
_DAMAGED = (
    SyntaxError,
    ValueError,
    LookupError,
    TypeError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
)


@contextmanager
def open_image(path: Path, file: BinaryIO | None = None) -> Iterator[Image.Image]:
    """Open an image, of which only the header is read until its pixels are asked for.

    Args:
        path: Of the image.
        file: The image, where it is open.

    Raises:
        OSError: It is no image that Pillow knows, or it is damaged.
        ValueError: It has too many pixels.
    """
    # opened here: of a damaged file Pillow's own handle may stay open
    with nullcontext(file) if file is not None else path.open("rb") as opened:
        try:
            image = Image.open(opened, formats=_FORMATS)
        except Image.DecompressionBombError as error:
            raise ValueError(f"{path}: too large an image ({error})") from error
        except _DAMAGED as error:
            raise OSError(f"{path}: {error}") from error
        with image:
            check_pixels(image.height, image.width, str(path))
            try:
                yield image
            except _DAMAGED as error:
                raise OSError(f"{path}: {error}") from error
