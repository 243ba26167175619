"""Files of the feature cache."""

import tempfile
from pathlib import Path

import torch

from fuzz.harness import Target, fuzz
from sam2_video.feature_cache.rows import EncodedRows, RowLayout, find_fault, write_rows
from sam2_video.structures import FrameLevels


def _levels():
    return FrameLevels(
        torch.ones(2, 4, 2, 2), torch.ones(2, 2, 4, 4), torch.ones(2, 1, 8, 8), is_projected=True
    )


LAYOUT = RowLayout.of(_levels(), "fp32")


def _seeds():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.features")
        write_rows(path, 2, LAYOUT, [_levels()])
        return [path.read_bytes()]


def _read(path):
    if find_fault(path, 2, LAYOUT, are_rows_checked=True) is None:
        EncodedRows(path, 2, LAYOUT).read([0, 1])


if __name__ == "__main__":
    fuzz("features", Target(_read, _seeds, "a.features"))
