"""Sequences held in arrays: they are what tuples of the same items would be."""

import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sam2_video.data.packed import FilePaths, Names, Numbers, Records

NAMES = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))


@given(NAMES)
def test_names_are_what_they_were_made_of(texts):
    names = Names(texts)
    assert names == tuple(texts)
    assert [names[i] for i in range(-len(texts), len(texts))] == texts * 2
    assert names[1:3] == tuple(texts[1:3])
    assert hash(names) == hash(tuple(texts))
    assert pickle.loads(pickle.dumps(names)) == texts


def test_names_differ_from_other_names_and_lengths():
    assert Names(["a", "b"]) != ("a", "c")
    assert Names(["a", "b"]) != ("a",)
    assert Names(["ab", ""]) != ("a", "b")
    with pytest.raises(IndexError):
        Names(["a"])[1]


def test_names_keep_bytes_that_are_no_text():
    assert Names(["caf\udce9.png"])[0] == "caf\udce9.png"


@pytest.mark.parametrize(
    "texts",
    [
        ["a/b/1.png", "a/b/2.png"],
        ["a/1.png", "a/b/2.png"],
        ["/x/1.png", "/y/2.png"],
        ["1.png", "2.png"],
        ["1.png", "a/2.png"],
        [],
    ],
)
def test_paths_are_what_they_were_made_of(texts):
    paths = tuple(map(Path, texts))
    packed = FilePaths(paths)
    assert packed == paths
    assert packed[:1] == paths[:1]
    assert [Path(text) for text in packed.present()] == list(paths)


def test_a_place_without_a_file_is_told():
    packed = FilePaths([Path("a/1.png"), None])
    assert (packed.has(0), packed.has(1)) == (True, False)
    assert list(packed.present()) == ["a/1.png"]
    with pytest.raises(AssertionError, match="place 1 has no file"):
        packed[1]


@given(st.lists(st.integers(0, 2**31 - 1)))
def test_numbers_are_what_they_were_made_of(values):
    numbers = Numbers(values)
    assert numbers == tuple(values)
    assert tuple(values) == numbers
    assert list(numbers) == values
    assert numbers[1:] == tuple(values[1:])
    assert all(type(number) is int for number in numbers)


def test_records_are_what_they_were_made_of():
    values = [{"a": [1, "b"]}, (), "text", (1, None)]
    records = Records(values)
    assert list(records) == values
    assert records[-1] == (1, None)
    assert records[:2] == tuple(values[:2])
    assert list(pickle.loads(pickle.dumps(records))) == values
    assert list(Records([])) == []
    with pytest.raises(IndexError):
        records[4]
