"""Tests of masks: values stay as stored, forms of COCO agree, objects survive resizing."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sam2_video.masks import (
    decode_rle,
    encode_rle,
    mask_object_ids,
    read_mask_image,
    resize_masks,
    rle_area,
    segmentation_to_rle,
    separate_objects,
    show_object,
)

VALUES = np.array([[0, 1, 2], [7, 254, 255]], dtype=np.uint8)


def save(path: Path, array: np.ndarray, palette: bool = False) -> Path:
    image = Image.fromarray(array)
    if palette:
        image = Image.frombytes("P", image.size, array.tobytes())
        image.putpalette([*range(255, -1, -1)] * 3)
    image.save(path)
    return path


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
@pytest.mark.parametrize("palette", [True, False])
def test_palette_and_grey_values_come_out_as_stored(tmp_path, suffix, palette):
    path = save(tmp_path / f"m{suffix}", VALUES, palette)
    assert read_mask_image(path, (2, 3)).tolist() == VALUES.tolist()


def test_one_bit_mask_is_object_one(tmp_path):
    path = save(tmp_path / "m.png", VALUES > 100)
    assert read_mask_image(path, (2, 3)).tolist() == [[0, 0, 0], [0, 1, 1]]


def test_grey_png_of_four_bits_is_not_stretched_to_255(tmp_path):
    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + crc

    header = struct.pack(">IIBBBBB", 4, 1, 4, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" + bytes([0x01, 0x2F]))
    content = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    (tmp_path / "m.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    assert read_mask_image(tmp_path / "m.png", (1, 4)).tolist() == [[0, 1, 2, 15]]


def test_rgb_mask_is_read_by_colour_only_with_a_palette(tmp_path):
    colours = np.array([[[0, 0, 0], [255, 0, 0], [0, 0, 9]]], dtype=np.uint8)
    path = save(tmp_path / "m.png", colours)
    assert read_mask_image(path, (1, 3), [[0, 0, 9], [255, 0, 0]]).tolist() == [[0, 2, 1]]
    with pytest.raises(ValueError, match=r"m\.png.*RGB picture.*colour_palette"):
        read_mask_image(path, (1, 3))
    with pytest.raises(ValueError, match=r"colour \[0, 0, 9\] is not in dataset\.colour_palette"):
        read_mask_image(path, (1, 3), [[255, 0, 0]])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (VALUES.astype(np.uint16), r"mode I;16 .*expected 8-bit.*save it as 8-bit PNG"),
        (VALUES[:1], r"the mask is 1x3 .*its frame is 2x3; export"),
        (np.stack([VALUES, VALUES], axis=-1), r"mode LA"),
    ],
)
def test_what_is_no_mask_is_named_with_a_way_out(tmp_path, array, message):
    path = save(tmp_path / "m.png", array)
    with pytest.raises(ValueError, match=rf"m\.png: .*{message}") as error:
        read_mask_image(path, (2, 3))
    assert "\n" not in str(error.value)


def test_truncated_mask_is_named(tmp_path):
    path = save(tmp_path / "m.png", np.random.default_rng(0).integers(9, size=(40, 40), dtype="u1"))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"m\.png: the mask cannot be read"):
        read_mask_image(path, (40, 40))


def test_ignore_is_ignored_for_every_object_and_is_none_itself():
    mask = torch.from_numpy(VALUES)
    assert mask_object_ids(mask) == (1, 2, 7, 254)
    expected = [[[0, 0, 0], [1, 0, 255]], [[0, 0, 0], [0, 0, 255]]]
    assert separate_objects(mask, [7, 9]).tolist() == expected


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12))
def test_compressed_and_uncompressed_rle_give_the_mask_back(seed, height, width):
    mask = torch.from_numpy(np.random.default_rng(seed).random((height, width)) < 0.4)
    flat = mask.numpy().ravel(order="F").astype(int)
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *edges, flat.size]).tolist()
    runs = [0, *runs] if flat[0] else runs
    for segmentation in (encode_rle(mask), {"size": [height, width], "counts": runs}):
        rle = segmentation_to_rle(segmentation, (height, width), "here")
        assert torch.equal(decode_rle(rle), mask)
        assert rle_area(rle) == mask.sum()


def test_long_runs_survive_the_string_form():
    mask = torch.zeros(300, 400, dtype=torch.bool)
    mask[3:290, 100:300:7] = True
    rle = segmentation_to_rle(encode_rle(mask), (300, 400), "here")
    assert torch.equal(decode_rle(rle), mask)


def test_polygons_of_one_annotation_are_joined():
    square = [1, 1, 3, 1, 3, 3, 1, 3]
    shifted = [x + 4 for x in square]
    rle = segmentation_to_rle([square, shifted], (9, 9), "here")
    expected = torch.zeros(9, 9, dtype=torch.bool)
    expected[1:3, 1:3] = expected[5:7, 5:7] = True
    assert torch.equal(decode_rle(rle), expected)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        (None, "neither RLE nor polygons"),
        ([], "neither RLE nor polygons"),
        ([[1, 1, 5, 5]], "at least 3 points"),
        ([[1, 1, 5, 5, "a", 2]], "at least 3 points"),
        ({"counts": "11"}, "needs `size` and `counts`"),
        ({"size": [4, 4], "counts": [1.5, 14.5]}, "whole numbers"),
        ({"size": [4, 5], "counts": [20]}, r"size \[4, 5\], its image is \[4, 4\]"),
        ({"size": [4, 4], "counts": [3]}, "add up to 16 pixels"),
        ({"size": [4, 4], "counts": []}, "add up to 16 pixels"),
        ({"size": [4, 4], "counts": [20, -4]}, "add up to 16 pixels"),
        ({"size": [4, 4], "counts": "1"}, "add up to 16 pixels"),
        ({"size": [4, 4], "counts": "P"}, "damaged"),
        ({"size": [4, 4], "counts": "é"}, "damaged"),
        ({"size": [4, 4], "counts": ""}, "damaged"),
    ],
)
def test_bad_segmentations_are_refused(segmentation, message):
    with pytest.raises(ValueError, match=f"file, annotation 5: .*{message}"):
        segmentation_to_rle(segmentation, (4, 4), "file, annotation 5")


def test_resizing_is_nearest_and_keeps_the_three_values():
    masks = torch.tensor([[0, 1], [255, 0]], dtype=torch.uint8)[None, None]
    doubled = resize_masks(masks, (4, 4))
    assert torch.equal(doubled[..., ::2, ::2], masks)
    assert torch.equal(doubled[..., 1::2, 1::2], masks)
    assert torch.equal(resize_masks(doubled, (2, 2)), masks)


@given(st.integers(0, 39), st.integers(0, 39), st.integers(3, 9))
def test_an_object_of_one_pixel_survives_shrinking_in_its_place(row, column, size):
    masks = torch.zeros(2, 1, 40, 40, dtype=torch.uint8)
    masks[0, 0, row, column] = 1
    small = resize_masks(masks, (size, size))
    assert small[0, 0, row * size // 40, column * size // 40] == 1
    assert 1 <= small[0].sum() <= 4
    assert small[1].sum() == 0


def test_objects_are_shown_where_one_pixel_is():
    masks = torch.zeros(2, 3, 4, 5, dtype=torch.uint8)
    masks[0, 1, 2, 3] = 1
    masks[1, 2] = 255
    masks[1, 0] = 1
    shown = [[False, True, False], [True, False, False]]
    assert show_object(masks).tolist() == shown
    assert show_object(masks[0, 1]).item() is True
    assert show_object(masks[:0]).shape == (0, 3)


def test_objects_without_pixels_and_numbers_beyond_a_byte_are_empty():
    mask = torch.tensor([[0, 3, 3]], dtype=torch.uint8)
    assert separate_objects(mask, [3, 7, 300]).tolist() == [[[0, 1, 1]], [[0, 0, 0]], [[0, 0, 0]]]
    assert separate_objects(mask, []).shape == (0, 1, 3)
