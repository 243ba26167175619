"""RLE and polygons that would lead C code out of its memory, or ask for all there is."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from sam2_video.limits import MOST_PIXELS
from sam2_video.masks import decode_rle, segmentation_to_rle
from sam2_video.segmentations import MOST_OUTLINE, checked_runs, is_closed_rle

SIZE = (4, 6)
RUN_LETTERS = [chr(code) for code in range(48, 112)]


def to_letters(values):
    """Encode numbers as pycocotools writes them, also those that no image has."""
    letters = ""
    for value in values:
        rest = value
        is_more = True
        while is_more:
            group = rest & 31
            rest >>= 5
            is_more = rest != (-1 if group & 16 else 0)
            letters += chr(48 + group + 32 * is_more)
    return letters


def compress(runs):
    return to_letters(run - (runs[i - 2] if i > 2 else 0) for i, run in enumerate(runs))


def read(segmentation, size=SIZE):
    return segmentation_to_rle(segmentation, size, "the annotation")


@given(st.lists(st.integers(0, 24), min_size=1, max_size=9), st.booleans())
def test_only_runs_that_fill_the_image_reach_the_decoder(runs, is_compressed):
    counts = compress(runs) if is_compressed else runs
    segmentation = {"size": [*SIZE], "counts": counts}
    if sum(runs) != 24:
        with pytest.raises(ValueError, match="the annotation: the RLE is damaged"):
            read(segmentation)
        return
    flat = torch.cat([torch.full((run,), i % 2 == 1) for i, run in enumerate(runs)])
    assert decode_rle(read(segmentation)).equal(flat.reshape(6, 4).T)


@given(st.text(st.sampled_from([*RUN_LETTERS, "\0", "p", "/", "é", "\ud800"]), max_size=40))
def test_any_text_is_decoded_or_refused(counts):
    try:
        rle = read({"size": [*SIZE], "counts": counts})
    except ValueError as error:
        refused = str(error)
    else:
        refused = ""
    if refused:
        assert refused.startswith("the annotation: the RLE is damaged")
        return
    mask = decode_rle(rle)
    assert mask.shape == SIZE
    assert checked_runs(counts, 24, "")[1::2].sum() == mask.sum()


@pytest.mark.parametrize(
    "runs",
    [
        # each wraps around to 24 pixels in 64 bits
        [2**62 - 1, 2**62, 2**62 + 1, 0, 2**62, 24],
        [2**61] * 8 + [24],
        [2**63 - 1, 2**63 - 1, 26],
        # and in 32
        [2**32, 24],
        [2**31, 2**31, 24],
        [25, -1],
        [10**30, 24],
    ],
)
@pytest.mark.parametrize("is_compressed", [True, False])
def test_runs_that_wrap_around_to_the_right_sum_are_refused(runs, is_compressed):
    counts = compress(runs) if is_compressed else runs
    with pytest.raises(ValueError, match="the RLE is damaged"):
        read({"size": [*SIZE], "counts": counts})


@pytest.mark.parametrize("counts", ["o\0" + "1" * 4000, "\0", "", "1o", "1\x7f1", "1 1", "11\n"])
def test_text_that_two_halves_of_c_code_read_differently_is_refused(counts):
    assert not is_closed_rle(counts)


def test_such_text_in_a_file_of_masklets_does_not_end_the_process(tmp_path):
    """Without the check, pycocotools writes 16 MB beyond 4 bytes of memory."""
    code = (
        "from sam2_video.data.masklets import _Region\n"
        "region = _Region({'size': [2, 2], 'counts': 'o\\0' + '1' * 4_000_000}, (2, 2), 'here')\n"
        "try:\n    region.is_empty()\nexcept ValueError as error:\n    print(str(error)[:30])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "here: the RLE is damaged: `cou\n")


@pytest.mark.parametrize("size", [(10**5, 10**5), (1, MOST_PIXELS + 1), (0, 4), (-3, -8)])
def test_no_memory_is_asked_for_an_absurd_size(size):
    pixels = abs(size[0] * size[1])
    for segmentation in ({"size": [*size], "counts": [pixels]}, [[0, 0, 9, 0, 9, 9]]):
        with pytest.raises(ValueError, match="the annotation: the size is"):
            read(segmentation, size)


@pytest.mark.parametrize(
    "polygon",
    [
        [float("nan")] * 6,
        [0, 0, float("inf"), 0, 1, 1],
        [0, 0, 1e300, 0, 1, 1],
        [0, 0, 10**400, 0, 1, 1],
        [0, 0, -(2**31), 0, 1, 1],
        # zigzags whose outline is longer than any
        [0, 0, 10**4, 1] * 10**3,
    ],
)
def test_polygons_that_c_code_would_follow_for_ever_are_refused(polygon):
    with pytest.raises(ValueError, match=f"more than {MOST_OUTLINE:,} pixels"):
        read([[1, 1, 3, 1, 3, 3], polygon])


def test_a_polygon_that_leaves_the_image_is_cut_as_before():
    rle = read([[-50, -50, 3, -50, 3, 400, -50, 400]])
    assert decode_rle(rle).equal(torch.tensor([[1, 1, 1, 0, 0, 0]] * 4).bool())


def test_many_polygons_are_joined_to_what_pycocotools_makes_of_them():
    polygons = [
        [x % 97, y % 89, x % 97 + 2, y % 89, x % 97 + 2, y % 89 + 2]
        for x, y in zip(range(0, 700, 7), range(0, 1100, 11), strict=True)
    ]
    mine = decode_rle(read(polygons, (90, 100)))
    theirs = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, 90, 100)))
    assert mine.equal(torch.from_numpy(theirs).bool())
    assert mine.any()
