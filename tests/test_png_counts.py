"""Values counted on the bytes of a PNG are those of its pixels; what is damaged is not counted."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from sam2_video.masks import read_mask_areas, read_mask_image
from sam2_video.png_counts import count_packed_values

FEW = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def png(values, bits, **options) -> bytes:
    image = Image.frombytes("P", values.shape[::-1], values.tobytes())
    image.putpalette([*range(256)] * 3)
    file = BytesIO()
    image.save(file, "PNG", bits=bits, **options)
    return file.getvalue()


def write(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "mask.png"
    path.write_bytes(content)
    return path


def draw(bits: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).integers(0, 2**bits, (height, width), dtype=np.uint8)
    values[: height // 2, : width // 2] = 0
    return values


@FEW
@given(st.sampled_from([1, 2, 4]), st.integers(1, 9), st.integers(1, 20), st.integers(0, 99))
def test_the_values_of_pixels_are_counted_whatever_fills_the_last_byte(
    tmp_path, bits, height, width, seed
):
    values = draw(bits, height, width, seed)
    path = write(tmp_path, png(values, bits))
    counts = count_packed_values(path, values.shape)
    assert counts is not None
    assert counts.tolist() == np.bincount(values.ravel(), minlength=2**bits).tolist()
    ids, areas = np.unique(values[values > 0], return_counts=True)
    found = read_mask_areas(path, values.shape)
    assert found == dict(zip(ids.tolist(), areas.tolist(), strict=True))
    assert list(found) == sorted(found)


def test_bits_beyond_the_end_of_a_row_count_for_no_value(tmp_path):
    values = draw(4, 6, 7)
    whole = np.pad(values, ((0, 0), (0, 1)), constant_values=15)
    content = bytearray(png(whole, 4))
    content[16:20] = (7).to_bytes(4, "big")  # the width; the rows keep their eight pixels
    header = content[12:29]
    content[29:33] = PngImagePlugin._crc32(bytes(header)).to_bytes(4, "big")
    path = write(tmp_path, bytes(content))
    assert read_mask_image(path, (6, 7)).tolist() == values.tolist()
    counts = count_packed_values(path, (6, 7))
    assert counts is not None
    assert counts.tolist() == np.bincount(values.ravel(), minlength=16).tolist()


@pytest.mark.parametrize("mode", ["1", "L", "I;16", "RGB"])
def test_what_is_not_packed_or_has_colours_is_left_to_pillow(tmp_path, mode):
    values = draw(1, 5, 9)
    image = Image.fromarray(values).point(lambda value: 255 * value).convert(mode)
    image.save(tmp_path / "mask.png")
    counts = count_packed_values(tmp_path / "mask.png", (5, 9))
    expected = np.bincount(values.ravel()).tolist()
    assert counts.tolist() == expected if mode == "1" else counts is None


def test_interlaced_jpeg_missing_and_other_sizes_are_left_to_pillow(tmp_path):
    values = draw(2, 8, 8)
    content = png(values, 2)
    path = write(tmp_path, content)
    assert count_packed_values(path, (8, 9)) is None
    assert count_packed_values(tmp_path / "missing.png", (8, 8)) is None
    Image.fromarray(values).save(tmp_path / "mask.jpg")
    assert count_packed_values(tmp_path / "mask.jpg", (8, 8)) is None
    interlaced = bytearray(content)
    interlaced[28] = 1
    interlaced[29:33] = PngImagePlugin._crc32(bytes(interlaced[12:29])).to_bytes(4, "big")
    assert count_packed_values(write(tmp_path, bytes(interlaced)), (8, 8)) is None


@FEW
@given(st.data())
def test_damage_is_never_counted(tmp_path, data):
    content = png(draw(4, 12, 15), 4)
    place = data.draw(st.integers(0, len(content) - 1))
    cut = data.draw(st.booleans())
    damaged = bytearray(content)
    damaged[place] ^= data.draw(st.integers(1, 255))
    path = write(tmp_path, content[:place] if cut else bytes(damaged))
    assert count_packed_values(path, (12, 15)) is None


def test_rows_that_a_file_promises_and_lacks_count_as_they_are_read(tmp_path):
    short = bytearray(png(draw(4, 12, 16), 4))
    short[20:24] = (13).to_bytes(4, "big")
    short[29:33] = PngImagePlugin._crc32(bytes(short[12:29])).to_bytes(4, "big")
    path = write(tmp_path, bytes(short))
    counts = count_packed_values(path, (13, 16))
    read = read_mask_image(path, (13, 16))
    assert counts is not None
    assert counts.tolist() == np.bincount(read.numpy().ravel(), minlength=16).tolist()
