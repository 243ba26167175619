"""`python -m benchmarks.levers`: what each way of computing less gains, switched off one at a time.

Levers are parts of the code, not settings: one is switched off by putting what it replaced in its
place, for a whole process. What is measured is the step of `benchmarks.step`, fp32, no cache.
"""

import argparse
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import Sam2VideoModel
from transformers.models.sam2.modeling_sam2 import Sam2VisionModel
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoMemoryAttentionLayer

from sam2_video.files import write_json
from sam2_video.losses import clip
from sam2_video.losses.full_size import Term, at_full_size
from sam2_video.model import (
    attention,
    heads,
    mask_decoder,
    memory_attention,
    rotation,
    sam2,
    tracker,
    unroll,
)
from sam2_video.model.heads import FrameFeatures, HeadOutput
from sam2_video.training import optimiser

RESULT = Path(__file__).with_name("results") / "levers.json"
ALL_ON = "all on"


@dataclass(frozen=True)
class Lever:
    """A way of computing less, and what puts the old way back.

    `predicted` is the time of a step with it to that without it at 512 px: counted, or measured on
    a sketch; None where nobody had said.
    """

    title: str
    predicted: float | None
    switch_off: Callable[[], AbstractContextManager[Any]]


@contextmanager
def switched_off(name: str | None) -> Iterator[None]:
    """Compute as it was before a lever.

    Raises:
        ValueError: there is no such lever.
    """
    if name is None:
        yield
        return
    if name not in LEVERS:
        raise ValueError(f"lever: got {name!r}; expected one of {', '.join(LEVERS)}")
    with LEVERS[name].switch_off():
        yield


def _keep_wide_values() -> ExitStack:
    """Let attention act on projected values, 256 channels wide, by PyTorch's kernel."""
    stack = ExitStack()
    for module in (attention, memory_attention):
        stack.enter_context(patch.object(module, "has_narrow_kernel", lambda _: False))
    return stack


def _attend_for_each_object() -> AbstractContextManager[Any]:
    """Repeat the first layer's self-attention for each object, as where dropout acts."""
    is_noisy = memory_attention.is_noisy

    def is_apart(module: Any) -> bool:  # noqa: ANN401 (as the function that it stands for)
        return isinstance(module, Sam2VideoMemoryAttentionLayer) or is_noisy(module)

    return patch.object(memory_attention, "is_noisy", is_apart)


def _encode_by_transformers() -> AbstractContextManager[Any]:
    """Encode images by transformers' own forward pass."""

    def encode(encoder: Sam2VisionModel, pixels: Tensor) -> Sequence[Tensor]:
        levels = encoder(pixels).fpn_hidden_states
        assert levels is not None
        return levels[: encoder.num_feature_levels]

    return patch.object(sam2, "encode_images", encode)


def _encode_every_memory() -> AbstractContextManager[Any]:
    """Encode the last frame's memory too, which nothing reads."""
    track_frame = unroll.track_frame
    signature = inspect.signature(track_frame)

    def track(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 (as the function)
        bound = signature.bind(*arguments, **named)
        bound.arguments["is_memory_needed"] = True
        return track_frame(*bound.args, **bound.kwargs)

    return patch.object(unroll, "track_frame", track)


def _copy_features() -> AbstractContextManager[Any]:
    """Copy an image's features for each of its objects, and compute with the copies."""
    seat = FrameFeatures.seat

    def copy(self: FrameFeatures, images: Sequence[int]) -> FrameFeatures:
        seated = seat(self, images)
        levels = (seated.embedding, seated.half, seated.quarter)
        return FrameFeatures(*(seated.spread(level).contiguous() for level in levels))

    return patch.object(FrameFeatures, "seat", copy)


def _make_constants_anew() -> ExitStack:
    """Make rotations and positions anew on each frame."""
    stack = ExitStack()
    for module, name in ((rotation, "_rotation"), (memory_attention, "_sine_positions")):
        plain = getattr(module, name).__wrapped__
        stack.enter_context(patch.object(module, name, plain))
    return stack


def _keep_full_size_masks() -> AbstractContextManager[Any]:
    """Compute terms on masks brought to the targets' size with a graph."""

    def compute(
        terms: Sequence[Term], logits: Sequence[Tensor | None], masks: Sequence[Tensor]
    ) -> list[Tensor]:
        full = [
            mask if small is None else at_full_size(small.unsqueeze(1), mask.shape[-2:]).squeeze(1)
            for small, mask in zip(logits, masks, strict=True)
        ]
        return [term(*full) for term in terms]

    return patch.object(clip, "values_of_terms", compute)


def _attend_in_decoder_by_the_fused_kernel() -> AbstractContextManager[Any]:
    fused = F.scaled_dot_product_attention
    return patch.object(
        mask_decoder,
        "attend_in_heads",
        lambda query, key, value, scale: fused(query, key, value, scale=scale),
    )


def _decode_by_transformers() -> ExitStack:
    """Run the mask decoder's own forward pass, also where only a pointer is read of it."""
    stack = ExitStack()
    stack.enter_context(patch.object(heads, "_decode_at", _decode_all))
    stack.enter_context(patch.object(tracker, "adopt_mask", _adopt_and_decode))
    return stack


def _decode_all(
    network: Sam2VideoModel,
    conditioned: Tensor,
    features: FrameFeatures,
    positions: Tensor,
    *given: Any,  # noqa: ANN401 (as the function that it stands for)
) -> HeadOutput:
    *prompts, is_multimask, is_training = given
    sparse, dense = heads.embed_prompts(network, conditioned, *prompts)
    network.mask_decoder.dynamic_multimask_via_stability = not is_training
    masks, ious, tokens, scores = network.mask_decoder(
        image_embeddings=conditioned,
        image_positional_embeddings=positions.T.unflatten(1, conditioned.shape[2:])[None],
        sparse_prompt_embeddings=sparse.unsqueeze(1),
        dense_prompt_embeddings=dense,
        multimask_output=is_multimask,
        high_resolution_features=[features.quarter, features.half],
    )
    masks, ious, tokens, scores = masks[:, 0].float(), ious[:, 0], tokens[:, 0], scores.flatten()
    best = ious.argmax(dim=1)
    rows = torch.arange(len(best))
    return HeadOutput(
        mask_logits=torch.where(scores[:, None, None, None] > 0, masks, heads.ABSENT_LOGIT),
        iou_predictions=ious,
        object_score_logits=scores,
        best=best,
        pointers=heads._pointers(
            network, network.object_pointer_proj(tokens[rows, best]), scores > 0
        ),
    )


def _adopt_and_decode(
    network: Sam2VideoModel, features: FrameFeatures, masks: Tensor
) -> HeadOutput:
    prompt = network.mask_downsample(masks.unsqueeze(1))
    image = features.spread(features.embedding)
    said = heads.decode(network, image, features, None, None, prompt, False, True)
    with patch.object(heads, "_point_at", lambda *_: said.pointers):
        return heads.adopt_mask(network, features, masks)


LEVERS: Mapping[str, Lever] = {
    "late-values": Lever(
        "attention on the memory itself, 64 wide; values projected after it",
        0.97,
        _keep_wide_values,
    ),
    "shared-self-attention": Lever(
        "the first layer's self-attention once an image, not once an object",
        1.0,
        _attend_for_each_object,
    ),
    "joined-projections": Lever(
        "queries, keys and values of self-attention as one product",
        None,
        lambda: patch.object(unroll, "join_projections", lambda _: ()),
    ),
    "features-once": Lever(
        "features of an image read by its objects, not copied", 1.0, _copy_features
    ),
    "last-memory": Lever("the last frame's memory is not encoded", 1.0, _encode_every_memory),
    "encoder": Lever(
        "no attention matrix that nothing reads, no padding projected",
        None,
        _encode_by_transformers,
    ),
    "small-masks": Lever(
        "gradients of the mask terms at the decoder's size; none of full size kept for backward",
        None,
        _keep_full_size_masks,
    ),
    "kept-matrices": Lever(
        "attention matrices of memory kept for backward, on a CPU",
        0.94,
        lambda: patch.object(attention, "KEPT_BYTES", 0),
    ),
    "decoder-attention": Lever(
        "plain products in the decoder's attention, on a CPU",
        0.98,
        _attend_in_decoder_by_the_fused_kernel,
    ),
    "decoder": Lever(
        "no mask made that nothing reads; positions added to the image once a block",
        None,
        _decode_by_transformers,
    ),
    "fused-optimiser": Lever(
        "AdamW as one kernel for all parameters",
        None,
        lambda: patch.object(optimiser, "FUSED_DEVICES", frozenset()),
    ),
    "constants": Lever("rotations and positions made once a size", None, _make_constants_anew),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the step with all levers, and without each, in turns."""
    # the worker's process imports this module for the levers alone
    from benchmarks.machine import describe_commit, describe_machine, describe_versions
    from benchmarks.performance_page import write_page
    from benchmarks.step.compare import describe_runs, take_turns
    from benchmarks.step.settings import Problem, Row, Way

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    # at 512 px eleven processes would not fit into the memory of a small machine
    parser.add_argument("--side", type=int, default=256)
    options = parser.parse_args(argv)
    ways = {ALL_ON: Way("ours")} | {name: Way("ours", without=name) for name in LEVERS}
    row = Row("levers", "", Problem(side=options.side), ways)
    turns = take_turns(row, options.rounds)
    write_json(
        RESULT,
        {
            **row.describe(),
            "commit": describe_commit(),
            "machine": describe_machine(),
            "versions": describe_versions(),
            "titles": {name: lever.title for name, lever in LEVERS.items()},
            "predicted": {name: lever.predicted for name, lever in LEVERS.items()},
            **describe_runs(row, *turns),
        },
    )
    write_page()
    return 0


if __name__ == "__main__":
    sys.exit(main())
