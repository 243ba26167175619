"""Outputs and gradients against Meta's SAM2Train with the same weights."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from sam2_video.model.keymap import from_meta
from sam2_video.model.sam2 import SAM2Model
from sam2_video.structures import FrameOutput, Prompt
from tests.model.meta_oracle import build_meta, jitter, meta_batch

SIZE = (128, 128)
OBJECT_CLIP = torch.tensor([0, 0, 1])
# what Meta's video predictor sets beside its YAML
EVALUATION = {
    "binarize_mask_from_pts_for_mem_enc": True,
    "sam_mask_decoder_extra_args": {
        "dynamic_multimask_via_stability": True,
        "dynamic_multimask_stability_delta": 0.05,
        "dynamic_multimask_stability_thresh": 0.98,
    },
}


def relative(ours: Tensor, theirs: Tensor) -> float:
    difference = (ours - theirs).detach().norm()
    return float(difference / theirs.detach().norm().clamp_min(1e-12))


def clips(num_frames: int) -> tuple[Tensor, Tensor]:
    """Two clips of noise with three moving boxes, the last of them hidden on the first frame."""
    generator = torch.Generator().manual_seed(3)
    pixels = torch.randn(2, num_frames, 3, *SIZE, generator=generator)
    masks = torch.zeros(3, num_frames, *SIZE, dtype=torch.bool)
    unit = SIZE[0] // 16
    for row in range(3):
        for frame in range(num_frames):
            top, left = unit * (1 + 2 * row) + 2 * frame, unit * (2 + row)
            masks[row, frame, top : top + 4 * unit, left : left + 3 * unit] = True
    masks[2, 0] = False
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


def prompts_of(conditioning_frames: list[int], theirs: list[dict], masks: Tensor) -> list[Prompt]:
    """Return the prompts that Meta drew for all objects."""
    objects = tuple(range(masks.shape[0]))
    prompts = []
    for frame in conditioning_frames:
        given = theirs[frame]["point_inputs"]
        if given is None:
            prompts.append(Prompt(frame, objects, masks=masks[:, frame].float()))
        else:
            points, labels = given["point_coords"].float(), given["point_labels"].int()
            prompts.append(Prompt(frame, objects, points=points, labels=labels))
    return prompts


def tracked_by_both(
    model: SAM2Model, meta: Any, num_frames: int, num_objects: int
) -> list[tuple[str, Tensor, Tensor]]:
    """Track the same clips with both; return (what, ours, theirs) of everything that was said."""
    pixels, masks = clips(num_frames)
    object_clip, masks = OBJECT_CLIP[:num_objects], masks[:num_objects]
    pixels = pixels[: int(object_clip.max()) + 1]
    theirs = meta(meta_batch(pixels, masks, object_clip))
    ours = model(pixels, object_clip, prompts_of(meta.conditioning_frames, theirs, masks))
    return list(predictions(sorted(ours, key=lambda output: output.frame), theirs))


@pytest.mark.parametrize(
    ("name", "num_frames", "num_objects", "settings", "tolerance"),
    [
        ("sam2.1-tiny", 3, 3, {}, 1e-4),
        ("sam2.1-tiny", 3, 2, {"prob_to_use_pt_input_for_train": 1.0}, 1e-4),
        ("sam2.1-tiny", 4, 3, {"num_init_cond_frames_for_train": 2}, 1e-4),
        ("sam2-tiny", 3, 3, {}, 1e-4),
        # more than the 7 frames of spatial memory, and than the 16 of pointers: so deep that
        # moving the pixels by one rounding (6e-8) moves the gradient by 1.6e-4
        pytest.param("sam2.1-tiny", 20, 1, {}, 3e-4, marks=pytest.mark.slow),
    ],
    ids=["masks", "points", "two-prompted-frames", "sam2", "longer-than-memory"],
)
def test_training_equals_metas_in_outputs_and_gradients(
    name, num_frames, num_objects, settings, tolerance
):
    model = SAM2Model.load(None, name, SIZE)
    jitter(model, seed=1)
    model.set_trainable(["all"])
    model.train()
    meta = build_meta(model, **settings).train()
    compared = tracked_by_both(model, meta, num_frames, num_objects)
    for what, mine, expected in compared:
        assert relative(mine, expected) < 1e-5, what
    random_loss([mine for _, mine, _ in compared]).backward()
    random_loss([expected for _, _, expected in compared]).backward()
    assert total_gradient_error(model, meta) < tolerance


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"prob_to_use_pt_input_for_eval": 1.0},
        {"prob_to_use_pt_input_for_eval": 1.0, "prob_to_use_box_input_for_eval": 1.0},
        {"num_init_cond_frames_for_eval": 2},
    ],
    ids=["masks", "points", "boxes", "two-prompted-frames"],
)
def test_evaluation_equals_metas_in_outputs(settings):
    model = SAM2Model.load(None, "sam2.1-tiny", SIZE)
    jitter(model, seed=1)
    meta = build_meta(model, **EVALUATION, **settings).eval()
    num_objects = 3 if "prob_to_use_pt_input_for_eval" not in settings else 2
    with torch.no_grad():
        compared = tracked_by_both(model, meta, 9, num_objects)
    for what, mine, expected in compared:
        assert relative(mine, expected) < 1e-5, what
