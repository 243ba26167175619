"""How large what a file from a stranger describes may be, before memory is asked for it."""

import hashlib
import os
import re
import reprlib

MOST_PIXELS = 2**27
"""Pixels of a frame or a mask, 134 million: 8K video has 33, a slide scanner's tile 100."""

# OpenCV reads this once, when it is imported, and would else decode eight times as many.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MOST_PIXELS))


MOST_FRAMES = 2**22
"""Of a stack: each gets a name, though only the head of the file speaks of it."""

MOST_ID = 2**31 - 1 - 1000
"""Of an object: tensors hold it in 32 bits, and automatic masklets are numbered from 1000 on."""

MOST_LETTERS = 200
"""Of a video's name: it becomes that of a folder, for which file systems allow 255 bytes."""

MOST_PATH_LETTERS = 1000

# control characters, and halves of letters but for those that stand for bytes that are no text
_NO_TEXT = re.compile("[\x00-\x1f\x7f\ud800-\udc7f\udd00-\udfff]")


def is_id(value: object) -> bool:
    """Say whether a value is a whole number that can name an object."""
    return type(value) is int and -MOST_ID <= value <= MOST_ID


def check_id(value: object, where: str) -> None:
    """Refuse what cannot name an object.

    Raises:
        ValueError: it is no whole number, or too large.
    """
    if not is_id(value):
        raise ValueError(
            f"{where} is {reprlib.repr(value)}, expected a whole number up to {MOST_ID:,}; number "
            "the objects from 1 on"
        )


def is_name(name: str, most: int = MOST_LETTERS) -> bool:
    """Say whether a file or folder could be called so."""
    return 0 < len(name.strip()) <= most and not _NO_TEXT.search(name)


def check_name(name: str, where: str, most: int = MOST_LETTERS) -> None:
    """Refuse a name that no file or folder could have.

    Raises:
        ValueError: it is empty, longer than `most` letters, or not all of it is text.
    """
    if not is_name(name, most):
        raise ValueError(
            f"{where}: the name {name[:40]!r} is empty, longer than {most} letters, or has "
            "letters that no file's name has; correct it"
        )


def shorten(name: str, most_bytes: int = 200) -> str:
    """Return a name that fits into a file's, beside a suffix; different names stay different.

    >>> shorten("clip"), shorten("x" * 1000, 20)
    ('clip', 'xxxxxxxxxxx-44f83544')
    """
    encoded = name.encode("utf-8", "surrogatepass")
    if len(encoded) <= most_bytes:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:8]
    start = encoded[: most_bytes - len(digest) - 1].decode("utf-8", "ignore")
    return f"{start}-{digest}"


def check_pixels(height: int, width: int, where: str) -> None:
    """Refuse a size of a frame or mask that no memory should be asked for.

    Raises:
        ValueError: a side is below 1, or there are more than `MOST_PIXELS` pixels.
    """
    if height < 1 or width < 1:
        raise ValueError(f"{where}: the size is {height}x{width} (height x width), expected pixels")
    if height * width > MOST_PIXELS:
        raise ValueError(
            f"{where}: the size is {_short(height)}x{_short(width)} (height x width), more than "
            f"{MOST_PIXELS:,} pixels; write it smaller, or correct the size"
        )


def _short(side: int) -> str:
    """Return a number that may have more digits than Python likes to print."""
    return str(side) if side.bit_length() < 64 else f"2^{side.bit_length() - 1}"
