"""The error of a loss that is not a number, which names the clips that it is of."""

import torch
from torch import Tensor
from torch import distributed as dist

from sam2_video.structures import ClipBatch, ClipSource
from sam2_video.training.values import has_several_processes


class NonFiniteLossError(ValueError):
    """The loss, or its gradient, is not a number: training must not go on.

    With several processes all of them raise it; `is_here` where the numbers of this one are bad.
    `batch` is the one whose loss it is, of those that are accumulated.
    """

    def __init__(self, message: str, *, is_here: bool, batch: ClipBatch | None = None) -> None:
        super().__init__(message)
        self.is_here = is_here
        self.batch = batch


def non_finite_loss(total: Tensor, batch: ClipBatch, step: int) -> NonFiniteLossError:
    """Return the error that names the clips of every process whose loss is not finite.

    All processes call this.
    """
    is_here = not bool(torch.isfinite(total))
    messages: list[str | None] = [
        f"the loss is {total.item()} ({name_clips(batch.sources)})" if is_here else None
    ]
    if has_several_processes():
        own = messages[0]
        messages *= dist.get_world_size()
        dist.all_gather_object(messages, own)
    found = "; ".join(message for message in messages if message is not None)
    return NonFiniteLossError(
        f"step {step}: {found or 'the sum of the losses overflows'}; the weights are unchanged. "
        "Lower trainer.lr, or try --precision bf16-mixed or 32-true",
        is_here=is_here or not found,
        batch=batch,
    )


def name_clips(sources: tuple[ClipSource, ...]) -> str:
    """Say which videos, frames and objects some clips are of."""
    return "; ".join(
        f"video {source.video_id}, frames {source.frame_names[0]} .. {source.frame_names[-1]}, "
        f"objects {list(source.object_ids)}"
        for source in sources
    )
