"""Files that are made to harm are findings like any other."""

import struct
from zlib import compress, crc32

import pytest

from tests.data.check.conftest import found


def write_bomb(path):
    """Write a PNG of a few bytes that says to be of 10 GB."""

    def chunk(name, content):
        return (
            struct.pack(">I", len(content))
            + name
            + content
            + struct.pack(">I", crc32(name + content))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0))
    rest = chunk(b"IDAT", compress(bytes(1000))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + rest)


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("JPEGImages/b/3.jpg", "frame"),
        ("JPEGImages/b/0.jpg", "frame"),
        ("Annotations/b/3.png", "mask"),
    ],
)
def test_an_image_that_would_fill_the_memory_is_an_error_that_names_it(data, check, place, kind):
    write_bomb(data / place)
    report = check(data)
    frame = place[-5]
    assert ("error", f"{kind} that cannot be used", "b", frame, None) in found(report)
    finding = next(one for one in report.findings if one.frame == frame)
    assert finding.file == str(data / place)
    assert "too large an image" in finding.message
    assert finding.way_out == "correct it, or remove it"
