"""Files of the feature cache that are sealed well and hold what no cache writes."""

import zlib

import pytest
import torch

from sam2_video.feature_cache import RowLayout
from sam2_video.feature_cache.rows import find_fault, write_rows
from sam2_video.structures import FrameLevels

LEVELS = FrameLevels(torch.ones(2, 4, 2, 2), torch.ones(2, 2, 4, 4), torch.ones(2, 1, 8, 8), True)
LAYOUT = RowLayout.of(LEVELS, "fp32")
BODIES = {
    "no text": b"\xbe",
    "no JSON": b"checksums",
    "a list": b"[]",
    "another name": b'{"checksum": ""}',
    "a number": b'{"checksums": 8}',
    "a list of lists": b'{"checksums": [[]]}',
    "no digits": b'{"checksums": "seven888"}',
    "negative": b'{"checksums": "-1"}',
    "nested": b"[" * 4000,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_header_that_is_no_header_is_damaged_and_no_error(tmp_path, body):
    path = tmp_path / "a.features"
    write_rows(path, 2, LAYOUT, [LEVELS])
    content = path.read_bytes()
    magic = content.partition(b"\n")[0]
    header = b"%s\n%08x\n%s\n" % (magic, zlib.crc32(body), body)
    path.write_bytes(header.ljust(len(content)))
    fault = find_fault(path, 2, LAYOUT, are_rows_checked=True)
    assert fault == "its header is damaged, or another file's"
