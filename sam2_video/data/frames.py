"""List image files in natural order, and read them as RGB tensors."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import UInt8
from loguru import logger
from torch import Tensor

from sam2_video.image_file import open_image

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_REDUCED = {
    8: cv2.IMREAD_REDUCED_COLOR_8,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    1: cv2.IMREAD_COLOR,
}


def natural_key(name: str) -> tuple[tuple[str | int, ...], str]:
    """Return a sorting key by which numbers count as numbers.

    >>> sorted(["frame10", "frame9", "frame1"], key=natural_key)
    ['frame1', 'frame9', 'frame10']
    """
    parts = re.split(r"(\d+)", name)
    key = tuple(int(part) if i % 2 else part.lower() for i, part in enumerate(parts))
    return key, name


def is_image(path: Path) -> bool:
    """Say whether a path names an image file that can be read."""
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


def visible_entries(folder: Path) -> list[Path]:
    """Return what a folder holds in natural order, without hidden files."""
    entries = (entry for entry in folder.iterdir() if not entry.name.startswith("."))
    return sorted(entries, key=lambda entry: natural_key(entry.name))


def has_images(folder: Path) -> bool:
    """Say whether a folder holds image files directly."""
    return any(is_image(entry) for entry in folder.iterdir() if not entry.name.startswith("."))


def warn_unread(folder: Path, entries: Iterable[Path], expected: str) -> None:
    """Name once what lies in a folder and is not read."""
    names = [entry.name for entry in entries]
    if names:
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        logger.warning(f"{folder}: not read: {len(names)} entries ({shown}); expected {expected}")


def list_images(folder: Path, *, beside: str | None = None) -> tuple[Path, ...]:
    """Return the image files of a folder in natural order.

    Args:
        folder: Folder of the frames, or of the masks, of one video.
        beside: Name of a subfolder that belongs there and is read elsewhere.

    Raises:
        ValueError: There is no image, or two files differ only in their suffix.
    """
    # one look at the folder tells of all entries what they are: 100,000 files are many to ask
    with os.scandir(folder) as found:
        is_file = {one.name: one.is_file() for one in found if not one.name.startswith(".")}
    entries = sorted(is_file, key=natural_key)
    named = [(name, *os.path.splitext(name)) for name in entries]  # noqa: PTH122 (the same many)
    images = {name: stem for name, stem, end in named if end.lower() in IMAGE_SUFFIXES}
    images = {name: stem for name, stem in images.items() if is_file[name]}
    if not images:
        names = ", ".join(entries[:3]) or "nothing"
        raise ValueError(
            f"{folder}: no images in this folder (found {names}); expected files "
            f"{', '.join(IMAGE_SUFFIXES)}: put them there, or remove the folder"
        )
    unread = [folder / name for name in entries if name not in images and name != beside]
    warn_unread(folder, unread, f"files {', '.join(IMAGE_SUFFIXES)}")
    stems: dict[str, str] = {}
    for name, stem in images.items():
        if (other := stems.setdefault(stem, name)) != name:
            raise ValueError(
                f"{folder}: {other} and {name} are one frame by name; remove or rename one of them"
            )
    return tuple(folder / name for name in images)


def read_size(path: Path) -> tuple[int, int]:
    """Return height and width of an image as stored, from its header where Pillow knows it."""
    try:
        with open_image(path) as image:
            return image.height, image.width
    except OSError:  # damaged, which reading will name, or 16-bit RGB TIFF, which OpenCV reads
        frame = read_rgb(path)
        return frame.shape[1], frame.shape[2]


def read_rgb(
    path: Path, size: tuple[int, int] | None = None, at_least: tuple[int, int] | None = None
) -> UInt8[Tensor, "3 height width"]:
    """Read an image file as 8-bit RGB; deeper images are reduced to 8 bits, alpha is dropped.

    EXIF orientation is not applied: masks are drawn on the pixels as stored.

    Args:
        path: The file.
        size: Height and width that the stored image must have.
        at_least: With `size`, a JPEG is decoded at 1/2, 1/4 or 1/8 of its size, never below this.

    Raises:
        ValueError: The file is damaged, truncated or of another size.
    """
    content = path.read_bytes()
    is_jpeg = content.startswith(b"\xff\xd8")
    # A truncated JPEG decodes with a grey rest in some OpenCV versions: the end marker that
    # belongs to the last scan must be there.
    is_whole = not is_jpeg or content.rfind(b"\xff\xd9") > content.rfind(b"\xff\xda")
    factor = _reduction(size, at_least) if is_jpeg and size and at_least else 1
    image = None
    if content and is_whole:
        flags = _REDUCED[factor] | cv2.IMREAD_IGNORE_ORIENTATION
        try:
            image = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), flags)
        except cv2.error:  # more pixels than `limits` allows
            image = None
    if image is None:
        raise ValueError(
            f"{path}: the image cannot be read ({len(content)} bytes, damaged, truncated or "
            "too large); copy or export the file again"
        )
    height, width = image.shape[:2]
    if size is not None and (height, width) != (-(-size[0] // factor), -(-size[1] // factor)):
        raise ValueError(
            f"{path}: the frame is {height * factor}x{width * factor} (height x width), expected "
            f"{size[0]}x{size[1]} as its video has; all frames of a video must have one size"
        )
    # a plane after another, as clips hold them: gathering them later costs several times as much
    blue, green, red = cv2.split(image)
    return torch.from_numpy(np.stack([red, green, blue]))


def _reduction(size: tuple[int, int], at_least: tuple[int, int]) -> int:
    """Return the largest factor of JPEG's reduced decoding that keeps at least a size."""
    fits = (
        f for f in _REDUCED if all(-(-s // f) >= m for s, m in zip(size, at_least, strict=True))
    )
    return next(fits, 1)
