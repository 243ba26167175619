"""Correction clicks: drawn evenly from what is wrong, and what they say where nothing is."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sam2_video.prompts import NEGATIVE, PADDING, POSITIVE, draw_click
from sam2_video.structures import BACKGROUND, IGNORE, OBJECT, Corrections

SIZE = (6, 8)
NUM_PLACES = 200
STATES = (BACKGROUND, OBJECT, IGNORE)


def click_everywhere(targets, logits, is_from_truth=False):
    """Return the labels of all clicks that can be drawn of one object, by their place."""
    # one row for each place that a click can be drawn at
    places = torch.linspace(0, 1, NUM_PLACES)[:, None].clamp(max=1 - 1e-7)
    rows = tuple(range(NUM_PLACES))
    repeated = torch.as_tensor(targets, dtype=torch.uint8).expand(NUM_PLACES, -1, -1)
    coins = torch.full((NUM_PLACES, 1), is_from_truth)
    corrections = Corrections(3, rows, repeated, places, coins)
    points, labels = draw_click(corrections, 0, logits.expand(NUM_PLACES, -1, -1))
    x, y = points[:, 0].long().unbind(-1)
    return dict(zip(zip(y.tolist(), x.tolist(), strict=True), labels[:, 0].tolist(), strict=True))


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=40, deadline=None)
def test_clicks_fall_on_every_error_and_nowhere_else(seed, is_from_truth):
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, 3, SIZE, generator=generator)
    targets = torch.tensor(STATES)[targets]
    logits = torch.randn(SIZE, generator=generator)
    expected = {}
    for y in range(SIZE[0]):
        for x in range(SIZE[1]):
            is_object = bool(targets[y, x] == OBJECT)
            is_said = bool(logits[y, x] > 0) and not is_from_truth
            if targets[y, x] != IGNORE and is_object != is_said:
                expected[y, x] = POSITIVE if is_object else NEGATIVE
    assert click_everywhere(targets, logits, is_from_truth) == expected


def test_places_are_shares_of_the_error_so_that_every_pixel_is_as_likely():
    targets = torch.zeros(1, *SIZE, dtype=torch.uint8)
    targets[0, 1, 2] = targets[0, 4, 7] = targets[0, 5, 0] = OBJECT
    places = torch.tensor([[0.1, 0.34, 0.66, 0.67, 0.999999]])
    corrections = Corrections(0, (0,), targets, places, torch.zeros(1, 5, dtype=torch.bool))
    nothing = torch.full((1, *SIZE), -1.0)
    found = [draw_click(corrections, number, nothing)[0][0, 0].tolist() for number in range(5)]
    assert found == [[2, 1], [7, 4], [7, 4], [0, 5], [0, 5]]


def test_where_nothing_is_wrong_a_click_says_where_the_object_is_not():
    targets = torch.zeros(SIZE)
    targets[2:4, 2:5] = OBJECT
    targets[0] = IGNORE
    found = click_everywhere(targets, targets * 2 - 1)
    background = (targets == BACKGROUND).nonzero().tolist()
    assert found == dict.fromkeys(map(tuple, background), NEGATIVE)


def test_of_an_absent_object_even_the_truth_shows_only_where_it_is_not():
    found = click_everywhere(torch.zeros(SIZE), torch.ones(SIZE), is_from_truth=True)
    assert set(found.values()) == {NEGATIVE}
    assert len(found) == SIZE[0] * SIZE[1]


@pytest.mark.parametrize("value", [OBJECT, IGNORE])
def test_where_nothing_can_be_said_there_is_no_click(value):
    logits = torch.ones(SIZE)
    assert click_everywhere(torch.full(SIZE, value), logits) == {(0, 0): PADDING}


def test_errors_are_looked_for_at_the_size_of_the_truth():
    targets = torch.zeros(16, 16)
    targets[:, 5:] = OBJECT
    logits = torch.tensor([[-1.0, 1.0, 1.0, 1.0]]).expand(4, 4)
    # bilinear: the zero crossing lies between pixels 3 and 4 of 16
    assert click_everywhere(targets, logits) == {(y, 4): NEGATIVE for y in range(16)}
    # and here between 4 and 5, not where the small pixel ends
    targets[:, 4] = OBJECT
    logits = torch.tensor([[-3.2, 1.0, 1.0, 1.0]]).expand(4, 4)
    assert click_everywhere(targets, logits) == {(y, 4): POSITIVE for y in range(16)}


def test_an_object_clicked_from_the_truth_leaves_its_neighbour_to_its_errors():
    targets = torch.zeros(2, *SIZE, dtype=torch.uint8)
    targets[:, 1, 2] = OBJECT
    coins = torch.tensor([[True], [False]])
    corrections = Corrections(0, (4, 9), targets, torch.full((2, 1), 0.5), coins)
    said = torch.where(targets == OBJECT, 1.0, -1.0)
    said[:, 5, 5] = 1.0
    points, labels = draw_click(corrections, 0, said)
    assert points[:, 0].tolist() == [[2, 1], [5, 5]]
    assert labels[:, 0].tolist() == [POSITIVE, NEGATIVE]


def test_each_click_has_a_coin_of_its_own():
    targets = torch.zeros(1, *SIZE, dtype=torch.uint8)
    targets[0, 1, 2] = OBJECT
    coins = torch.tensor([[False, True, False]])
    corrections = Corrections(0, (0,), targets, torch.full((1, 3), 0.5), coins)
    said = torch.where(targets == OBJECT, 1.0, -1.0)
    said[:, 5, 5] = 1.0
    labels = [draw_click(corrections, number, said)[1].item() for number in range(3)]
    assert labels == [NEGATIVE, POSITIVE, NEGATIVE]


def test_no_gradient_flows_through_a_click():
    targets = torch.zeros(1, *SIZE, dtype=torch.uint8)
    corrections = Corrections(0, (0,), targets, torch.zeros(1, 1), torch.tensor([[False]]))
    points, _ = draw_click(corrections, 0, torch.ones(1, *SIZE, requires_grad=True))
    assert not points.requires_grad
