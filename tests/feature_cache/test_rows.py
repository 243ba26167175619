"""The file of an encoded video: what is written comes back, and what is damaged is noticed."""

import pytest
import torch

from sam2_video.feature_cache.rows import (
    EncodedRows,
    RowLayout,
    find_fault,
    header_bytes,
    is_missing,
    write_rows,
)
from sam2_video.structures import FrameLevels

FRAMES = 5


def make_levels(num_frames=FRAMES, seed=0, **settings):
    generator = torch.Generator().manual_seed(seed)
    embedding = torch.randn(num_frames, 8, 2, 3, generator=generator)
    half = torch.randn(num_frames, 4, 4, 6, generator=generator)
    quarter = torch.randn(num_frames, 2, 8, 12, generator=generator)
    # as convolutions leave them: channels together, or not
    embedding = embedding.contiguous(memory_format=torch.channels_last)
    return FrameLevels(embedding, half, quarter, **{"is_projected": True} | settings)


def write(path, levels, dtype="fp32"):
    layout = RowLayout.of(levels, dtype)
    chunks = [levels.change(lambda x: x[:3]), levels.change(lambda x: x[3:])]
    return write_rows(path, FRAMES, layout, chunks)


def assert_equal(found, expected):
    for ours, theirs in zip(found.levels, expected.levels, strict=True):
        assert torch.equal(ours, theirs)
        assert ours.stride() == theirs.stride()
    assert found.is_projected == expected.is_projected


@pytest.fixture
def rows(tmp_path):
    return write(tmp_path / "video.features", make_levels())


def fault_of(rows, *, are_rows_checked=True):
    return find_fault(rows.path, rows.num_rows, rows.layout, are_rows_checked=are_rows_checked)


@pytest.mark.parametrize("is_projected", [True, False])
def test_frames_come_back_to_the_last_bit_and_in_their_order_in_memory(tmp_path, is_projected):
    levels = make_levels(is_projected=is_projected)
    rows = write(tmp_path / "video.features", levels)
    assert fault_of(rows) is None
    assert_equal(rows.read(range(FRAMES)), levels)


def test_frames_come_in_any_order_and_more_than_once(rows):
    order = [4, 2, 0, 2, 4]
    expected = make_levels().change(
        lambda x: x[order].contiguous(
            memory_format=torch.contiguous_format if x.is_contiguous() else torch.channels_last
        )
    )
    assert_equal(rows.read(order), expected)


def test_bf16_rounds_and_halves(tmp_path, rows):
    levels = make_levels()
    halved = write(tmp_path / "half.features", levels, "bf16")
    assert 2 * halved.layout.num_bytes == rows.layout.num_bytes
    assert_equal(halved.read(range(FRAMES)), levels.change(lambda x: x.to(torch.bfloat16)))


def test_what_is_read_may_be_written_to_and_leaves_the_file_alone(rows):
    rows.read([0]).embedding.zero_()
    assert_equal(rows.read(range(FRAMES)), make_levels())


def test_a_flipped_bit_is_noticed_wherever_it_is(rows):
    content = bytearray(rows.path.read_bytes())
    start = header_bytes(rows.num_rows, rows.layout)
    size = rows.layout.num_bytes
    places = [0, 25, 60, start - 1, start, start + 2 * size + 7, len(content) - 1]
    for place in places:
        content[place] ^= 4
        rows.path.write_bytes(content)
        fault = fault_of(rows)
        assert fault is not None, place
        assert ("header" in fault) == (place < start)
        content[place] ^= 4
    rows.path.write_bytes(content)
    assert fault_of(rows) is None


def test_which_frame_is_damaged_is_said(rows):
    content = bytearray(rows.path.read_bytes())
    content[header_bytes(rows.num_rows, rows.layout) + 2 * rows.layout.num_bytes] ^= 1
    rows.path.write_bytes(content)
    assert "frame 2 is damaged" in str(fault_of(rows))
    assert fault_of(rows, are_rows_checked=False) is None


def test_a_truncated_file_is_noticed_without_reading_it(rows):
    content = rows.path.read_bytes()
    for length in (0, 100, len(content) - 1):
        rows.path.write_bytes(content[:length])
        assert "bytes in place of" in str(fault_of(rows, are_rows_checked=False))


def test_a_file_of_another_layout_is_noticed(rows):
    layout = RowLayout.of(make_levels(is_projected=False), "fp32")
    assert layout.num_bytes == rows.layout.num_bytes
    other = EncodedRows(rows.path, rows.num_rows, layout)
    assert fault_of(other, are_rows_checked=False) is not None


def test_a_missing_file_is_no_damage(tmp_path, rows):
    fault = fault_of(EncodedRows(tmp_path / "none.features", FRAMES, rows.layout))
    assert fault is not None
    assert is_missing(fault)


def test_a_file_that_was_begun_leaves_nothing(tmp_path):
    def stop():
        yield make_levels().change(lambda x: x[:3])
        raise KeyboardInterrupt

    path = tmp_path / "video.features"
    with pytest.raises(KeyboardInterrupt):
        write_rows(path, FRAMES, RowLayout.of(make_levels(), "fp32"), stop())
    assert list(tmp_path.iterdir()) == []
