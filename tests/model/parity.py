"""One case of training parity: what ours and Meta's say of the same clips, with gradients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from sam2_video.config import LossConfig
from sam2_video.losses import clip_loss
from sam2_video.model.architecture import Architecture, build_network, find_architecture
from sam2_video.model.heads import ABSENT_LOGIT
from sam2_video.model.initialise import initialise
from sam2_video.model.keymap import from_meta
from sam2_video.model.sam2 import SAM2Model
from sam2_video.structures import Corrections, FrameOutput, Prompt
from tests.model.meta_clicks import (
    Clicks,
    Drawn,
    draw_corrections,
    prepare_clicks,
    recorded,
    told,
)
from tests.model.meta_oracle import (
    EVALUATION,
    build_meta,
    draw_from,
    jitter,
    meta_batch,
    meta_loss,
)

OFFICIAL_LOSS = LossConfig(
    focal=20.0, dice=1.0, iou_prediction=1.0, object_score=1.0, reduction="sum"
)
META_TERMS = {
    "focal": "loss_mask",
    "dice": "loss_dice",
    "iou_prediction": "loss_iou",
    "object_score": "loss_class",
}
PREDICTED = ("hypotheses", "iou", "scores", "pointers")
BOTH_LOSSES = ("official", "random")
Outputs = dict[str, list[Tensor]]
Gradient = dict[str, Tensor]
User = tuple[list[Prompt], list[Corrections]]


@dataclass(frozen=True)
class Case:
    """Clips of moving boxes, how their objects are shown and corrected, and to which network.

    With `is_absent` an object leaves and comes back, an empty mask is among the prompts (of 3
    objects), and the network itself judges about half of what it tracks absent; else none of it.
    """

    architecture: str | Architecture = "sam2.1-tiny"
    side: int = 128
    prompt: Literal["mask", "point", "box"] = "mask"
    num_conditioning: int = 1
    object_clip: tuple[int, ...] = (0, 0, 1)
    is_absent: bool = False
    num_frames: int = 5
    seed: int = 0
    clicks: Clicks | None = None


@dataclass(frozen=True)
class Said:
    """What one side said of a case, frame by frame and click by click, and the gradients of losses.

    The official loss is Meta's; the random one looks at every number that was predicted. Scores
    stand without the bias that centres them: near 0 they would have lost the digits to compare.
    """

    outputs: Outputs
    loss: Tensor
    terms: dict[str, float]
    gradients: dict[str, Gradient]
    clicks: Drawn = field(default_factory=dict)


def make_clips(case: Case) -> tuple[Tensor, Tensor]:
    """Return pixels [clips frames 3 side side] and masks [objects frames side side]."""
    generator = torch.Generator().manual_seed(3 + case.seed)
    side, unit = case.side, case.side // 16
    num_clips = max(case.object_clip) + 1
    pixels = torch.randn(num_clips, case.num_frames, 3, side, side, generator=generator)
    masks = torch.zeros(len(case.object_clip), case.num_frames, side, side, dtype=torch.bool)
    for row, mask in enumerate(masks):
        for frame in range(case.num_frames):
            top, left = unit * (1 + 2 * row) + frame % 8, unit * (2 + row)
            mask[frame, top : top + 4 * unit, left : left + 3 * unit] = True
    if case.is_absent:
        masks[0, 2 : max(3, case.num_frames - 1)] = False
        masks[2:, 0] = False
    return pixels, masks


def build_both(case: Case, is_training: bool = True) -> tuple[SAM2Model, Any]:
    """Return ours and Meta's with the same weights: every parameter moved, all of it learning."""
    named = case.architecture
    architecture = find_architecture(named) if isinstance(named, str) else named
    size = (case.side, case.side)
    network = build_network(architecture, size)
    initialise(network, seed=0)
    model = SAM2Model(network, architecture, size)
    jitter(model, seed=1)
    model.set_trainable(["all"])
    model.train(is_training)
    meta = build_meta(model, **({} if is_training else EVALUATION)).train(is_training)
    with torch.no_grad():
        _judge(model, case, draw_user(meta, case))
        bias = _score_bias(model)
        meta.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.copy_(bias)
    return model, meta


def _score_bias(model: SAM2Model) -> Tensor:
    return model.network.mask_decoder.pred_obj_score_head.proj_out.bias


def _judge(model: SAM2Model, case: Case, user: User) -> None:
    """Let the network judge all objects present, or, where some shall be absent, about half.

    Random weights give all objects scores within a hundredth of each other: as they are, all
    would be present, or all absent with masks of -1024 that compare nothing. What is judged
    absent changes memory, and so later scores: hence the search, in vain for very few scores.
    """
    bias = _score_bias(model)
    bias.fill_(100.0)
    scores = torch.cat(ours_says(model, case, user).outputs["scores"])
    low, high = float(-scores.max()), float(-scores.min())
    if not case.is_absent:
        bias.fill_(high + 1)
        return
    for _ in range(10):
        bias.fill_((low + high) / 2)
        scores = torch.cat(ours_says(model, case, user).outputs["scores"])
        share = float((scores + bias > 0).float().mean())
        if 0.25 <= share <= 0.75:
            return
        low, high = (float(bias), high) if share < 0.5 else (low, float(bias))


def share_absent(said: Said) -> float:
    """Return the share of objects and frames, prompted masks aside, that were judged absent."""
    is_absent = torch.cat([masks.amax((-2, -1)) <= ABSENT_LOGIT for masks in said.outputs["masks"]])
    return float(is_absent.float().mean())


def draw_user(meta: Any, case: Case) -> User:
    """Return the prompts that Meta draws for the case, and the frames that it corrects."""
    pixels, masks = make_clips(case)
    _prepare_draw(meta, case)
    batch = meta_batch(pixels, masks, torch.tensor(case.object_clip))
    drawn = meta.prepare_prompt_inputs({}, batch)
    corrections = []
    if case.clicks is not None:
        corrections = draw_corrections(meta, drawn, masks, case.clicks, case.seed)
    objects = tuple(range(len(case.object_clip)))
    prompts = []
    for frame, mask in drawn["mask_inputs_per_frame"].items():
        prompts.append(Prompt(frame, objects, masks=mask.squeeze(1).to(pixels)))
    for frame, given in drawn["point_inputs_per_frame"].items():
        points, labels = given["point_coords"].to(pixels), given["point_labels"].int()
        prompts.append(Prompt(frame, objects, points=points, labels=labels))
    return prompts, corrections


def _prepare_draw(meta: Any, case: Case) -> None:
    """Let Meta draw the case's kind of prompts, from the case's seed."""
    for mode in ("train", "eval"):
        setattr(meta, f"prob_to_use_pt_input_for_{mode}", float(case.prompt != "mask"))
        setattr(meta, f"prob_to_use_box_input_for_{mode}", float(case.prompt == "box"))
        setattr(meta, f"num_init_cond_frames_for_{mode}", case.num_conditioning)
    prepare_clicks(meta, case.clicks, case.num_conditioning)
    draw_from(meta, case.seed)
    torch.manual_seed(case.seed)


def ours_says(model: SAM2Model, case: Case, user: User, losses: Sequence[str] = ()) -> Said:
    """Track the case's clips with ours; return gradients of the named losses."""
    pixels, masks = make_clips(case)
    prompts, corrections = user
    with recorded() as clicks:
        said = model(pixels, torch.tensor(case.object_clip), prompts, corrections=corrections)
    said = sorted(said, key=lambda output: output.frame)
    labelled = torch.ones(masks.shape[:2], dtype=torch.bool)
    loss = clip_loss(said, masks.byte(), labelled, OFFICIAL_LOSS)
    outputs = _our_outputs(said, _score_bias(model))
    terms = {name: float(value) for name, value in loss.terms.items()}
    parameters = dict(model.network.named_parameters())
    gradients = _gradients(outputs, loss.total, parameters, losses)
    return Said(outputs, loss.total, terms, gradients, clicks)


def meta_says(
    meta: Any,
    case: Case,
    losses: Sequence[str] = (),
    pixels: Tensor | None = None,
    clicks: Drawn | None = None,
) -> Said:
    """Track the case's clips, or other pixels, with Meta's; our names for all gradients.

    `clicks` are those that ours has drawn, if the case has any.
    """
    drawn, masks = make_clips(case)
    pixels = drawn if pixels is None else pixels
    _prepare_draw(meta, case)
    batch = meta_batch(pixels, masks, torch.tensor(case.object_clip))
    with told(meta, clicks or {}):
        said = meta(batch)
    values = meta_loss()(said, batch.masks)
    bias = meta.sam_mask_decoder.pred_obj_score_head.layers[-1].bias
    outputs = _meta_outputs(said, bias)
    terms = {ours: float(values[theirs].detach()) for ours, theirs in META_TERMS.items()}
    parameters = dict(meta.named_parameters())
    gradients = _gradients(outputs, values["core_loss"], parameters, losses)
    ours = {name: from_meta(gradient) for name, gradient in gradients.items()}
    return Said(outputs, values["core_loss"], terms, ours)


def _our_outputs(said: Sequence[FrameOutput], bias: Tensor) -> Outputs:
    tracked = [output for output in said if not output.is_given]
    final = {(output.frame, output.objects): output for output in said}
    return {
        "hypotheses": [output.mask_logits for output in tracked],
        "masks": [output.best_mask_logits for output in tracked],
        "given masks": [output.mask_logits for output in said if output.is_given],
        "iou": [output.iou_predictions for output in said],
        "scores": [output.object_score_logits - bias.detach() for output in tracked],
        "given scores": [output.object_score_logits for output in said if output.is_given],
        "pointers": [output.pointers for output in final.values()],
    }


def _meta_outputs(said: Sequence[dict], bias: Tensor) -> Outputs:
    tracked = [output for output in said if output["mask_inputs"] is None]
    given = [output for output in said if output["mask_inputs"] is not None]
    scores = "multistep_object_score_logits"
    return {
        "hypotheses": [x for output in tracked for x in output["multistep_pred_multimasks"]],
        "masks": [x for output in tracked for x in output["multistep_pred_masks"].unbind(1)],
        "given masks": [output["pred_masks_high_res"] for output in given],
        "iou": [x for output in said for x in output["multistep_pred_ious"]],
        "scores": [x.flatten() - bias.detach() for output in tracked for x in output[scores]],
        "given scores": [output[scores][0].flatten() for output in given],
        "pointers": [output["obj_ptr"] for output in said],
    }


def _gradients(
    outputs: Outputs, official: Tensor, parameters: Mapping[str, Tensor], losses: Sequence[str]
) -> dict[str, Gradient]:
    """Return the gradient of each loss in every learning parameter; zeros where none arrives."""
    learning = {name: p for name, p in parameters.items() if p.requires_grad}
    gradients = {}
    for name in losses:
        loss = official if name == "official" else _random_loss(outputs)
        found = torch.autograd.grad(
            loss, list(learning.values()), retain_graph=name != losses[-1], allow_unused=True
        )
        gradients[name] = {
            name: torch.zeros_like(parameter) if gradient is None else gradient
            for (name, parameter), gradient in zip(learning.items(), found, strict=True)
        }
    return gradients


def _random_loss(outputs: Outputs) -> Tensor:
    """Weigh every predicted number at random; the -1024 of absent objects is left out."""
    generator = torch.Generator().manual_seed(9)
    values = [value for kind in PREDICTED for value in outputs[kind]]
    terms = [(x.clamp(-50, 50) * torch.randn(x.shape, generator=generator)).mean() for x in values]
    return torch.stack(terms).sum()
