"""Meta's video predictor and transformers' video session with our weights, on our pixels."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Sam2VideoInferenceSession, Sam2VideoModel
from transformers.models.sam2_video import modeling_sam2_video

from sam2_video.model.object_prompt import ObjectPrompt, to_model
from sam2_video.model.propagation import Direction
from sam2_video.model.rounds import sort_by_frame
from sam2_video.model.sam2 import SAM2Model
from sam2_video.pixels import prepare_frames
from tests.model.meta_oracle import EVALUATION, instantiate_meta


@dataclass(frozen=True)
class Found:
    """What was said of one object on one frame: mask logits at the video's size, and its score."""

    logits: Tensor
    score: float


Tracks = dict[tuple[int, int], Found]
"""What was found of each (object, frame)."""

_REVERSALS: dict[Direction, tuple[bool, ...]] = {
    "forward": (False,),
    "reverse": (True,),
    "both": (False, True),
}


def build_predictor(model: SAM2Model, fill_hole_area: int = 8) -> Any:
    """Return Meta's SAM2VideoPredictor, as `build_sam2_video_predictor` does, with our weights.

    Meta fills holes only where its CUDA extension was compiled, else it goes on with a warning.
    """
    settings = EVALUATION | {"fill_hole_area": fill_hole_area}
    predictor = instantiate_meta(model, "sam2.sam2_video_predictor.SAM2VideoPredictor", settings)
    _let_memory_be_read_in_fp32(predictor.memory_attention)
    return predictor.eval()


def _let_memory_be_read_in_fp32(memory_attention: nn.Module) -> None:
    """Widen stored memory where no pointers do it.

    Meta stores memory in bf16. Joined with fp32 pointers it becomes fp32; on a frame without
    pointers (all prompts lie ahead) the network fails unless it runs under autocast.
    """

    def widen(_: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        return args, kwargs | {"memory": kwargs["memory"].float()}

    memory_attention.register_forward_pre_hook(widen, with_kwargs=True)


class _TorchWithoutHalf:
    """The torch module as one that knows no bf16."""

    bfloat16 = torch.float32

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


@contextmanager
def unrounded_memory() -> Iterator[None]:
    """Let Meta's predictor, transformers' session and ours keep spatial memory in fp32.

    All round it to bf16, where a difference in the last digit of fp32 now and then becomes one of
    2^-9. Without rounding, what is left is a difference of code.
    """
    with (
        patch("sam2.sam2_video_predictor.torch", _TorchWithoutHalf()),
        patch(f"{modeling_sam2_video.__name__}.torch", _TorchWithoutHalf()),
        patch("sam2_video.model.stream.MEMORY_DTYPE", torch.float32),
    ):
        yield


@contextmanager
def corrected_mask_prompts(*, pointer: bool, memory: bool) -> Iterator[None]:
    """Let transformers' session take given masks as Meta's predictor does.

    With `pointer` the object pointer comes from a single-mask run of the decoder, with `memory`
    the mask is remembered at the decoder's resolution.
    """
    adopt, decode = Sam2VideoModel._use_mask_as_output, Sam2VideoModel._single_frame_forward

    def adopt_as_meta(self: Sam2VideoModel, *args: Any) -> Any:
        single = partial(decode, self, multimask_output=False)
        with patch.object(self, "_single_frame_forward", single) if pointer else nullcontext():
            output = adopt(self, *args)
        if memory:
            assert output.high_res_masks is not None
            assert output.pred_masks is not None
            size = output.high_res_masks.shape[-2:]
            output.high_res_masks = F.interpolate(output.pred_masks, size, mode="bilinear")
        return output

    with patch.object(Sam2VideoModel, "_use_mask_as_output", adopt_as_meta):
        yield


def meta_session(predictor: Any, frames: Sequence[Tensor]) -> dict[str, Any]:
    """Return the predictor's state for a video, whose pixels are prepared by us."""
    side = predictor.image_size
    pixels = prepare_frames(torch.stack(list(frames)), (side, side))
    height, width = frames[0].shape[-2:]
    with patch("sam2.sam2_video_predictor.load_video_frames", return_value=(pixels, height, width)):
        return predictor.init_state("frames")


def meta_prompt(
    predictor: Any, state: dict[str, Any], prompt: ObjectPrompt, *, clear_old_points: bool = True
) -> None:
    """Give one prompt to Meta's predictor."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "cannot import name '_C'")
        if prompt.mask is not None:
            mask = prompt.mask > 0
            predictor.add_new_mask(state, prompt.frame, prompt.object_id, mask)
            return
        predictor.add_new_points_or_box(
            state,
            prompt.frame,
            prompt.object_id,
            points=prompt.points,
            labels=prompt.labels,
            box=prompt.box,
            clear_old_points=clear_old_points,
        )


def meta_propagate(predictor: Any, state: dict[str, Any], **settings: Any) -> Tracks:
    """Return what Meta's predictor says of each (object, frame) in one pass."""
    said = {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "cannot import name '_C'")
        for frame, object_ids, logits in predictor.propagate_in_video(state, **settings):
            for row, name in enumerate(object_ids):
                stored = state["output_dict_per_obj"][row]
                frames = stored["cond_frame_outputs"] | stored["non_cond_frame_outputs"]
                said[name, frame] = Found(
                    logits[row, 0], float(frames[frame]["object_score_logits"])
                )
    return said


def meta_tracks(
    predictor: Any,
    frames: Sequence[Tensor],
    prompts: Sequence[ObjectPrompt],
    start: int | None = None,
    direction: Direction = "forward",
) -> Tracks:
    """Return what Meta's predictor says when all prompts are added before it propagates.

    Without a common start each object is propagated by itself, as in Meta's own evaluation of
    videos with objects that appear late.
    """
    said: Tracks = {}
    for group in _groups(prompts, start):
        state = meta_session(predictor, frames)
        for prompt in group:
            # a box comes first, where there is nothing to clear
            meta_prompt(predictor, state, prompt, clear_old_points=prompt.box is not None)
        for is_reverse in _REVERSALS[direction]:
            said |= meta_propagate(predictor, state, start_frame_idx=start, reverse=is_reverse)
    return said


def transformers_tracks(
    model: SAM2Model,
    frames: Sequence[Tensor],
    prompts: Sequence[ObjectPrompt],
    start: int | None = None,
    direction: Direction = "forward",
) -> Tracks:
    """Return what transformers' video session says, asked in the same way."""
    said: Tracks = {}
    height, width = frames[0].shape[-2:]
    for group in _groups(prompts, start):
        session = Sam2VideoInferenceSession(
            video=prepare_frames(torch.stack(list(frames)), model.image_size),
            video_height=height,
            video_width=width,
            dtype=torch.float32,
        )
        for frame, given in sort_by_frame(group).items():
            for prompt in given:
                _give_to_session(session, model, prompt, (height, width))
            session.obj_with_new_inputs = [prompt.object_id for prompt in given]
            model.network(session, frame_idx=frame)
        for is_reverse in _REVERSALS[direction]:
            for output in model.network.propagate_in_video_iterator(
                session, start_frame_idx=start, reverse=is_reverse
            ):
                assert output.pred_masks is not None
                assert output.object_score_logits is not None
                assert output.object_ids is not None
                assert output.frame_idx is not None
                logits = F.interpolate(output.pred_masks.float(), (height, width), mode="bilinear")
                for row, name in enumerate(output.object_ids):
                    score = float(output.object_score_logits[row])
                    said[name, output.frame_idx] = Found(logits[row, 0], score)
    return said


def _give_to_session(
    session: Sam2VideoInferenceSession,
    model: SAM2Model,
    prompt: ObjectPrompt,
    size: tuple[int, int],
) -> None:
    row = session.obj_id_to_idx(prompt.object_id)
    (given,) = to_model(prompt.frame, [prompt], size, model.image_size, model.device)
    if given.masks is not None:
        session.add_mask_inputs(row, prompt.frame, given.masks.unsqueeze(1))
        return
    assert given.points is not None
    assert given.labels is not None
    inputs = {"point_coords": given.points[None], "point_labels": given.labels[None]}
    session.add_point_inputs(row, prompt.frame, inputs)


def _groups(prompts: Sequence[ObjectPrompt], start: int | None) -> list[list[ObjectPrompt]]:
    if start is not None:
        return [list(prompts)]
    names = dict.fromkeys(prompt.object_id for prompt in prompts)
    return [[prompt for prompt in prompts if prompt.object_id == name] for name in names]
