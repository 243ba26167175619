"""Outputs and gradients against Meta's SAM2Train with the same weights."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from sam2_video.model.keymap import from_meta
from sam2_video.model.sam2 import SAM2Model
from sam2_video.structures import FrameOutput, Prompt
from tests.model.meta_oracle import build_meta, jitter, meta_batch

SIDE = 256
OBJECT_CLIP = torch.tensor([0, 0, 1])


def relative(ours: Tensor, theirs: Tensor) -> float:
    difference = (ours - theirs).detach().norm()
    return float(difference / theirs.detach().norm().clamp_min(1e-12))


def clips(num_frames: int) -> tuple[Tensor, Tensor]:
    """Two clips of noise with three moving boxes, of which one is absent on frame 2."""
    generator = torch.Generator().manual_seed(3)
    pixels = torch.randn(2, num_frames, 3, SIDE, SIDE, generator=generator)
    masks = torch.zeros(3, num_frames, SIDE, SIDE, dtype=torch.bool)
    for row in range(3):
        for frame in range(num_frames):
            top, left = 20 + 30 * row + 2 * frame, 30 + 20 * row
            masks[row, frame, top : top + 60, left : left + 50] = True
    masks[1, 2] = False
    return pixels, masks


def predictions(
    ours: list[FrameOutput], theirs: list[dict]
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield (what, ours, theirs) of everything that the decoder said."""
    for output, expected in zip(ours, theirs, strict=True):
        scores = expected["multistep_object_score_logits"][0].flatten()
        yield "iou", output.iou_predictions, expected["multistep_pred_ious"][0]
        yield "score", output.object_score_logits, scores
        if not output.is_given:
            yield "mask", output.mask_logits, expected["multistep_pred_multimasks"][0]


def random_loss(values: list[Tensor]) -> Tensor:
    """A loss that looks at every value with another weight; saturated ones are left out."""
    generator = torch.Generator().manual_seed(9)
    terms = [(x.clamp(-50, 50) * torch.randn(x.shape, generator=generator)).mean() for x in values]
    return torch.stack(terms).sum()


def total_gradient_error(model: SAM2Model, meta: torch.nn.Module) -> float:
    theirs = {
        name: torch.zeros_like(p) if p.grad is None else p.grad
        for name, p in meta.named_parameters()
    }
    ours = dict(model.network.named_parameters())
    total, difference = 0.0, 0.0
    for name, expected in from_meta(theirs).items():
        if name in ours:
            gradient = ours[name].grad
            gradient = torch.zeros_like(expected) if gradient is None else gradient
            total += float(expected.norm() ** 2)
            difference += float((gradient - expected).norm() ** 2)
    assert total > 0
    return (difference / total) ** 0.5


@pytest.mark.parametrize(
    ("name", "num_frames", "with_points"),
    [
        ("sam2.1-tiny", 4, False),
        ("sam2.1-tiny", 3, True),
        ("sam2-tiny", 3, False),
        pytest.param("sam2.1-tiny", 20, False, marks=pytest.mark.slow),
    ],
)
def test_tracker_equals_metas_in_outputs_and_gradients(name, num_frames, with_points):
    model = SAM2Model.load(None, name, (SIDE, SIDE))
    jitter(model, seed=1)
    model.set_trainable(["all"])
    model.train()
    meta = build_meta(
        model,
        prob_to_use_pt_input_for_train=1.0 if with_points else 0.0,
        prob_to_use_box_input_for_train=0.0,
    ).train()
    pixels, masks = clips(num_frames)
    theirs = meta(meta_batch(pixels, masks, OBJECT_CLIP))
    prompt = Prompt(0, (0, 1, 2), masks=masks[:, 0].float())
    if with_points:
        given = theirs[0]["point_inputs"]
        prompt = Prompt(
            0, (0, 1, 2), points=given["point_coords"], labels=given["point_labels"].int()
        )
    ours = model(pixels, OBJECT_CLIP, [prompt])
    compared = list(predictions(ours, theirs))
    for what, mine, expected in compared:
        assert relative(mine, expected) < 1e-5, what
    random_loss([mine for _, mine, _ in compared]).backward()
    random_loss([expected for _, _, expected in compared]).backward()
    assert total_gradient_error(model, meta) < 1e-4
