"""What a frame reads of its memory, and what the bank forgets."""

import itertools

import pytest
import torch

from sam2_video.model.memory import MemoryBank, MemoryEntry, merge_entries

NUM_SLOTS, MAX_POINTERS = 7, 16


def entry(frame: int, is_conditioning: bool = False, objects: tuple[int, ...] = (0,)):
    values = torch.tensor([[100.0 * name + frame] for name in objects])
    return MemoryEntry(frame, is_conditioning, values[:, None], values)


def bank_of(conditioning: list[int], tracked: list[int]) -> MemoryBank:
    bank = MemoryBank()
    for frame in conditioning:
        bank = bank.append(entry(frame, is_conditioning=True))
    for frame in tracked:
        bank = bank.append(entry(frame))
    return bank


def read_spatial(bank: MemoryBank, frame: int, is_reverse: bool = False) -> list[tuple[int, int]]:
    return [(slot, x.frame) for slot, x in bank.spatial(frame, NUM_SLOTS, is_reverse)]


def read_pointers(
    bank: MemoryBank, frame: int, maximum: int = MAX_POINTERS, is_training: bool = False
) -> list[tuple[int, int]]:
    return [(distance, x.frame) for distance, x in bank.pointers(frame, maximum, is_training)]


def test_conditioning_frames_come_first_in_the_last_slot_then_six_frames_back():
    bank = bank_of([0], list(range(1, 12)))
    assert read_spatial(bank, 12) == [(6, 0), (5, 6), (4, 7), (3, 8), (2, 9), (1, 10), (0, 11)]


def test_frames_that_do_not_exist_leave_their_slot_empty():
    assert read_spatial(bank_of([0, 3], [1, 2, 4]), 5) == [(6, 0), (6, 3), (3, 1), (2, 2), (0, 4)]


def test_frames_in_falling_order_are_read_from_the_other_side():
    bank = bank_of([9], [8, 7])
    assert read_spatial(bank, 6, is_reverse=True) == [(6, 9), (1, 8), (0, 7)]
    read = bank.pointers(6, MAX_POINTERS, is_training=False, is_reverse=True)
    assert [(distance, x.frame) for distance, x in read] == [(3, 9), (1, 7), (2, 8)]


def test_pointers_are_read_from_near_to_far_up_to_their_maximum():
    bank = bank_of([0], list(range(1, 20)))
    assert read_pointers(bank, 20) == [(20, 0)] + [(d, 20 - d) for d in range(1, 16)]
    assert read_pointers(bank, 20, maximum=3) == [(20, 0), (1, 19), (2, 18)]


def test_pointers_of_the_future_are_read_in_training_only():
    bank = bank_of([0, 8], [1])
    assert read_pointers(bank, 2, is_training=True) == [(2, 0), (-6, 8), (1, 1)]
    assert read_pointers(bank, 2, is_training=False) == [(2, 0), (1, 1)]


def test_appending_leaves_the_old_bank_as_it_was():
    old = bank_of([0], [1])
    new = old.append(entry(2))
    assert [x.frame for x in old.tracked] == [1]
    assert [x.frame for x in new.tracked] == [1, 2]


@pytest.mark.parametrize("is_reverse", [False, True])
def test_forgetting_changes_nothing_that_later_frames_read(is_reverse):
    order = list(range(39, -1, -1)) if is_reverse else list(range(40))
    whole = MemoryBank().append(entry(order[0], is_conditioning=True))
    bounded = whole
    for now, later in itertools.pairwise(order[1:]):
        whole = whole.append(entry(now))
        bounded = bounded.append(entry(now)).forget(now, NUM_SLOTS, MAX_POINTERS, is_reverse)
        assert read_spatial(bounded, later, is_reverse) == read_spatial(whole, later, is_reverse)
        for _, read in bounded.spatial(later, NUM_SLOTS, is_reverse):
            assert read.features is not None
        kept = bounded.pointers(later, MAX_POINTERS, False, is_reverse)
        assert kept_frames(kept) == kept_frames(
            whole.pointers(later, MAX_POINTERS, False, is_reverse)
        )
    assert len(bounded.tracked) == MAX_POINTERS - 1
    assert sum(x.features is not None for x in bounded.tracked) == NUM_SLOTS - 1


def kept_frames(read: list[tuple[int, MemoryEntry]]) -> list[tuple[int, int]]:
    return [(distance, x.frame) for distance, x in read]


def test_entries_of_different_kinds_are_joined_in_the_cohorts_order():
    merged = merge_entries([entry(0, True, (3, 1)), entry(0, True, (2,))], [2, 0, 1])
    assert merged.pointers.flatten().tolist() == [100, 200, 300]
    assert merged.features is not None
    assert merged.features.flatten().tolist() == [100, 200, 300]


def test_entries_whose_memory_was_not_encoded_are_joined_without_it():
    parts = [MemoryEntry(0, True, None, torch.zeros(1, 2)) for _ in range(2)]
    assert merge_entries(parts, range(2)).features is None


def test_selecting_objects_takes_their_rows_of_every_entry():
    bank = MemoryBank().append(entry(0, True, (0, 1, 2))).append(entry(1, False, (0, 1, 2)))
    chosen = bank.select([2, 0])
    assert chosen.conditioning[0].pointers.flatten().tolist() == [200, 0]
    assert chosen.tracked[0].pointers.flatten().tolist() == [201, 1]


def test_detaching_cuts_features_and_pointers_from_the_graph():
    values = torch.ones(1, 1, 1, requires_grad=True)
    bank = MemoryBank().append(MemoryEntry(0, True, values * 2, values[0] * 2))
    cut = bank.append(MemoryEntry(1, False, None, values[0])).detach()
    assert not any(x.pointers.requires_grad for x in (*cut.conditioning, *cut.tracked))
    assert cut.conditioning[0].features is not None
    assert not cut.conditioning[0].features.requires_grad
    assert bank.conditioning[0].pointers.requires_grad
