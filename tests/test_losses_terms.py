"""Each loss term against numbers worked out by hand, gradcheck and 16-bit extremes."""

import math

import pytest
import torch
from torch.autograd import gradcheck

from sam2_video.losses import terms
from sam2_video.losses.clip import values_of_hypotheses
from sam2_video.losses.target import Target

LOG3 = math.log(3)  # a logit of probability 3/4

MASK_TERMS = {
    "bce": terms.binary_cross_entropy,
    "focal": lambda logits, target: terms.focal(logits, target, 0.25, 2.0),
    "focal without weights": lambda logits, target: terms.focal(logits, target, -1.0, 0.5),
    "dice": terms.dice,
    "soft_iou": terms.soft_iou,
}


@pytest.fixture
def logits():
    """Probabilities 3/4, 1/2, 1/4 and one ignored pixel of nonsense."""
    return torch.tensor([[LOG3, 0.0], [-LOG3, 50.0]], dtype=torch.float64)


@pytest.fixture
def targets():
    return torch.tensor([[1, 0], [1, 255]], dtype=torch.uint8)


@pytest.fixture
def target(targets):
    return Target.read(targets, torch.float64)


def cross_entropies():
    return [-math.log(0.75), -math.log(0.5), -math.log(0.25)]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_a_target_says_what_its_bytes_say_in_float32_or_wider(targets, given, expected):
    target = Target.read(targets, given)
    assert target.is_object.tolist() == [[1, 0], [1, 0]]
    assert target.is_valid.tolist() == [[1, 1], [1, 0]]
    assert target.wrong_signs.tolist() == [[-1, 1], [-1, 0]]
    assert (target.object_area.item(), target.valid_area.item()) == (2, 3)
    assert {target.is_object.dtype, target.is_valid.dtype, target.valid_area.dtype} == {expected}


@pytest.mark.parametrize("name", [*MASK_TERMS, "iou"])
def test_hypotheses_of_an_object_share_its_target(name):
    term = (MASK_TERMS | {"iou": terms.mask_iou})[name]
    masks = torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets = torch.randint(0, 3, (2, 4, 5), generator=torch.Generator().manual_seed(1))
    target = Target.read(torch.tensor([0, 1, 255], dtype=torch.uint8)[targets], torch.float64)
    one_by_one = values_of_hypotheses(term, masks, target)
    torch.testing.assert_close(term(masks, target.unsqueeze(1)), one_by_one)
    torch.testing.assert_close(term(masks[:, 2], target), one_by_one[:, 2])


def test_bce_is_the_mean_over_valid_pixels(logits, target):
    loss = terms.binary_cross_entropy(logits, target).item()
    assert loss == pytest.approx(sum(cross_entropies()) / 3)


def test_focal_weighs_by_class_and_difficulty(logits, target):
    first, second, third = cross_entropies()
    by_hand = 0.25 * 0.25**2 * first + 0.75 * 0.5**2 * second + 0.25 * 0.75**2 * third
    assert terms.focal(logits, target, 0.25, 2.0).item() == pytest.approx(by_hand / 3)


def test_focal_without_weights_or_focusing_is_bce(logits, target):
    bce = terms.binary_cross_entropy(logits, target)
    assert terms.focal(logits, target, -1.0, 0.0).item() == pytest.approx(bce.item())


def test_dice_compares_soft_areas(logits, target):
    # overlap 3/4 + 1/4, predicted 3/4 + 1/2 + 1/4, true 2
    assert terms.dice(logits, target).item() == pytest.approx(1 - 3 / 4.5)


def test_soft_iou_compares_overlap_and_union(logits, target):
    assert terms.soft_iou(logits, target).item() == pytest.approx(1 - 2 / 3.5)


def test_iou_prediction_is_the_distance_to_the_true_iou(logits, target):
    actual = terms.mask_iou(logits, target)
    assert actual.item() == pytest.approx(1 / 2)
    predicted, actual = torch.tensor(0.8), actual.float()
    assert terms.iou_prediction(predicted, actual).item() == pytest.approx(0.3)
    squared = terms.iou_prediction(predicted, actual, is_squared=True)
    assert squared.item() == pytest.approx(0.09)


def test_the_iou_of_two_empty_masks_is_zero():
    nothing = torch.full((2, 2), -1.0)
    assert terms.mask_iou(nothing, Target.read(torch.zeros(2, 2, dtype=torch.uint8))).item() == 0


def test_object_score_is_bce_of_presence():
    loss = terms.object_score(torch.tensor([LOG3, LOG3]), torch.tensor([True, False]))
    assert loss.tolist() == pytest.approx([-math.log(0.75), -math.log(0.25)])


def test_temporal_compares_predicted_change_with_true_change(logits, target):
    later_logits = torch.tensor([[0.0, LOG3], [-LOG3, -50.0]], dtype=torch.float64)
    later_targets = torch.tensor([[0, 255], [1, 0]], dtype=torch.uint8)
    # pixel 0: change -1/4 against -1; pixel 2: 0 against 0; the others are ignored on one frame
    later_target = Target.read(later_targets, torch.float64)
    loss = terms.temporal(logits, later_logits, target, later_target)
    assert loss.item() == pytest.approx(0.75 / 2)


def test_temporal_does_not_punish_true_motion_but_punishes_standing_still():
    earlier, later = torch.zeros(2, 4, 4, dtype=torch.uint8)
    earlier[1, :2] = 1
    later[2, 1:3] = 1
    predictions = [(40.0 * mask - 20) for mask in (earlier, later)]
    truths = [Target.read(mask) for mask in (earlier, later)]
    assert terms.temporal(*predictions, *truths).item() < 1e-6
    assert terms.temporal(predictions[0], predictions[0], *truths).item() > 0.2


@pytest.mark.parametrize("name", MASK_TERMS)
def test_mask_terms_have_the_right_gradient(name, logits, targets):
    logits = torch.stack([logits.clamp(max=1), torch.randn(2, 2, dtype=torch.float64)])
    target = Target.read(torch.stack([targets, targets.flip(0)]), torch.float64)
    assert gradcheck(lambda x: MASK_TERMS[name](x, target), logits.requires_grad_())


def test_other_terms_have_the_right_gradient():
    generator = torch.Generator().manual_seed(0)
    earlier, later = torch.randn(2, 2, 3, 3, dtype=torch.float64, generator=generator)
    targets = torch.randint(0, 2, (2, 2, 3, 3), generator=generator).to(torch.uint8)
    inputs = earlier.requires_grad_(), later.requires_grad_()
    truths = [Target.read(frame, torch.float64) for frame in targets]
    assert gradcheck(lambda a, b: terms.temporal(a, b, *truths), inputs)
    scores = torch.randn(4, dtype=torch.float64, generator=generator).requires_grad_()
    is_present = torch.tensor([True, False, True, False])
    assert gradcheck(lambda x: terms.object_score(x, is_present), scores)
    actual = torch.rand(4, dtype=torch.float64, generator=generator)
    assert gradcheck(lambda x: terms.iou_prediction(x, actual), scores)
    assert gradcheck(lambda x: terms.iou_prediction(x, actual, is_squared=True), scores)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("extreme", [1e4, -1e4, -1024.0])
@pytest.mark.parametrize("target", [0, 1, 255])
def test_extreme_16_bit_logits_stay_finite(dtype, extreme, target):
    targets = torch.full((64, 64), target, dtype=torch.uint8)
    for is_autocast in (False, True):
        logits = torch.full((64, 64), extreme, dtype=dtype, requires_grad=True)
        score = torch.full((), extreme, dtype=dtype, requires_grad=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=is_autocast):
            truth = Target.read(targets, dtype)
            losses = [term(logits, truth) for term in MASK_TERMS.values()]
            losses.append(terms.temporal(logits, -logits, truth, truth))
            losses.append(terms.object_score(score, torch.tensor(target == 1)))
        total = torch.stack(losses).sum()
        assert total.dtype is torch.float32
        total.backward()
        assert torch.isfinite(total)
        assert torch.isfinite(logits.grad).all()
        assert torch.isfinite(score.grad).all()


@pytest.mark.parametrize("name", MASK_TERMS)
def test_ignored_pixels_change_nothing(name, logits, target):
    changed = logits.clone()
    changed[1, 1] = -7.0
    assert MASK_TERMS[name](changed, target) == MASK_TERMS[name](logits, target)


def test_an_all_ignored_mask_gives_finite_gradients(logits):
    target = Target.read(torch.full((2, 2), 255, dtype=torch.uint8), torch.float64)
    for term in MASK_TERMS.values():
        leaf = logits.clone().requires_grad_()
        term(leaf, target).backward()
        assert torch.equal(leaf.grad, torch.zeros(2, 2, dtype=torch.float64))
