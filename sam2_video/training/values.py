"""What a step logs, in a form that adds up over processes and batches."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch import distributed as dist
from torch.nn import functional as F

from sam2_video.losses import ClipLoss
from sam2_video.structures import OBJECT, FrameOutput, ModelClips, send


def has_several_processes() -> bool:
    """Say whether other processes train on other clips of the same step."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def sum_over_processes(values: Tensor) -> Tensor:
    """Return the sum of all processes' values, the same in each."""
    if not has_several_processes():
        return values
    values = values.clone()
    dist.all_reduce(values)
    return values


@torch.no_grad()
def step_values(
    loss: ClipLoss, similarity: Tensor, num_similarities: Tensor
) -> Float[Tensor, " values"]:
    """Return what a step logs in a form that adds up: total, terms, J, its count, and a one."""
    total = loss.total.detach().float()
    terms = [value.float() for value in loss.terms.values()]
    return torch.stack([total, *terms, similarity, num_similarities, torch.ones_like(total)])


@torch.no_grad()
def predicted_similarity(
    outputs: list[FrameOutput], clips: ModelClips
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Return the sum of J, and the number, of the predictions on frames that show the object.

    At the mask decoder's size, ignore regions counting as background: quick, and close to the
    real one. Where clicks make several outputs of one frame, the last one speaks.
    """
    total = torch.zeros((), device=clips.targets.device)
    count = torch.zeros((), device=clips.targets.device)
    final = {(output.frame, output.objects): output for output in outputs}
    for output in final.values():
        if output.is_given:
            continue
        rows = send(torch.tensor(output.objects), clips.targets.device)
        masks = output.best_mask_logits > 0
        targets = clips.targets[:, output.frame][rows].unsqueeze(1).float()
        truth = F.interpolate(targets, masks.shape[-2:], mode="nearest").squeeze(1) == OBJECT
        overlap = (masks & truth).sum((1, 2))
        union = (masks | truth).sum((1, 2)).clamp(min=1)
        is_counted = clips.labelled[:, output.frame][rows] & truth.flatten(1).any(1)
        total = total + (overlap / union * is_counted).sum()
        count = count + is_counted.sum()
    return total, count
