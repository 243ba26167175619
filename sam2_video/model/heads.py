"""SAM's prompt encoder and mask decoder for the objects of one frame."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor
from transformers import Sam2VideoModel

from sam2_video.model.compilation import compilable
from sam2_video.model.mask_decoder import (
    Decoded,
    attend_both_ways,
    predict_masks,
    score_objects,
    tokens_of_masks,
)
from sam2_video.model.prompt_encoder import embed_prompts, image_positions
from sam2_video.structures import send

ABSENT_LOGIT = -1024.0
"""Mask logit of an object that is judged absent (SAM 2's value)."""
GIVEN_SCALE, GIVEN_BIAS = 20.0, -10.0
"""A given mask m becomes logits 20 m - 10 (SAM 2's values)."""


@dataclass(frozen=True)
class FrameFeatures:
    """Image features of one or many frames, each image once; `rows` is the image of each object.

    Without `rows` each image is of one object.
    """

    embedding: Float[Tensor, "images channels height width"]
    half: Float[Tensor, "images half_channels height_2 width_2"]
    quarter: Float[Tensor, "images quarter_channels height_4 width_4"]
    rows: Int[Tensor, " objects"] | None = None

    @property
    def num_objects(self) -> int:
        """Return the number of objects."""
        return len(self.embedding if self.rows is None else self.rows)

    def by_frame(self, num_frames: int) -> list["FrameFeatures"]:
        """Return the features of each frame of clips that lie one after another: an image a clip.

        Views: their gradients are put together once, not frame by frame.
        """
        levels = (self.embedding, self.half, self.quarter)
        frames = (x.unflatten(0, (-1, num_frames)).unbind(1) for x in levels)
        return [FrameFeatures(*frame) for frame in zip(*frames, strict=True)]

    def seat(self, images: Sequence[int]) -> "FrameFeatures":
        """Return the features of objects, each of which looks at one of the images.

        Nothing is copied where all objects look at one image, or all images are looked at.
        """
        used = sorted(set(images))
        found = self
        if used != list(range(len(self.embedding))):
            index: slice | Tensor = slice(used[0], used[0] + 1)
            if len(used) > 1:
                index = send(torch.tensor(used), self.embedding.device)
            found = FrameFeatures(self.embedding[index], self.half[index], self.quarter[index])
        rows = [used.index(image) for image in images]
        if rows == list(range(len(used))):
            return found
        return replace(found, rows=send(torch.tensor(rows), self.embedding.device))

    def spread(self, of_images: Tensor) -> Tensor:
        """Turn [images ...] into [objects ...]; without a copy where there is only one image."""
        if self.rows is None:
            return of_images
        if len(of_images) == 1:
            return of_images.expand(len(self.rows), *of_images.shape[1:])
        return of_images[self.rows]


@dataclass(frozen=True)
class HeadOutput:
    """What the mask decoder says of each object: see `structures.FrameOutput`."""

    mask_logits: Float[Tensor, "objects hypotheses height width"]
    iou_predictions: Float[Tensor, "objects hypotheses"]
    object_score_logits: Float[Tensor, " objects"]
    best: Int[Tensor, " objects"]
    pointers: Float[Tensor, "objects channels"]

    @property
    def best_mask_logits(self) -> Float[Tensor, "objects 1 height width"]:
        """Return each object's hypothesis of highest predicted IoU."""
        rows = torch.arange(self.best.shape[0], device=self.best.device)
        return self.mask_logits[rows, self.best].unsqueeze(1)


def wants_hypotheses(network: Sam2VideoModel, num_points: int, *, is_prompted: bool) -> bool:
    """Say whether the decoder is asked for three masks: where few points leave it open which."""
    config = network.config
    is_open = config.multimask_min_pt_num <= num_points <= config.multimask_max_pt_num
    return is_open and (is_prompted or config.multimask_output_for_tracking)


def decode(
    network: Sam2VideoModel,
    conditioned: Float[Tensor, "objects channels height width"],
    features: FrameFeatures,
    points: Float[Tensor, "objects points 2"] | None,
    labels: Int[Tensor, "objects points"] | None,
    mask_prompt: Float[Tensor, "objects 1 mask_height mask_width"] | None,
    is_multimask: bool,
    is_training: bool,
) -> HeadOutput:
    """Run prompt encoder and mask decoder on features that memory has conditioned.

    `mask_prompt` is at a quarter of the input, in logits. Where the object score says absent,
    mask logits are -1024 and the pointer is the learned no-object pointer.
    """
    # made once, and so outside of what is compiled
    positions = image_positions(network)
    return _decode_at(
        network,
        conditioned,
        features,
        positions,
        points,
        labels,
        mask_prompt,
        is_multimask,
        is_training,
    )


@compilable(
    "mask decoder", conditioned=(0,), features=(0,), points=(0, 1), labels=(0, 1), mask_prompt=(0,)
)
def _decode_at(
    network: Sam2VideoModel,
    conditioned: Tensor,
    features: FrameFeatures,
    positions: Tensor,
    points: Tensor | None,
    labels: Tensor | None,
    mask_prompt: Tensor | None,
    is_multimask: bool,
    is_training: bool,
) -> HeadOutput:
    decoded = _attend_to_prompts(network, conditioned, positions, points, labels, mask_prompt)
    decoder = network.mask_decoder
    masks, ious = predict_masks(
        decoder,
        decoded,
        conditioned.shape[-2:],
        *(
            level if len(level) == 1 else features.spread(level)
            for level in (features.half, features.quarter)
        ),
        is_multimask=is_multimask,
        is_training=is_training,
    )
    scores = score_objects(decoder, decoded).float()
    is_present = scores > 0
    masks = torch.where(is_present[:, None, None, None], masks.float(), ABSENT_LOGIT)
    best = ious.argmax(dim=1)
    rows = torch.arange(best.shape[0], device=best.device)
    tokens = tokens_of_masks(decoder, decoded, is_multimask=is_multimask)
    token = tokens[rows, best if is_multimask else torch.zeros_like(best)]
    return HeadOutput(
        mask_logits=masks,
        iou_predictions=ious.float(),
        object_score_logits=scores,
        best=best,
        pointers=_pointers(network, network.object_pointer_proj(token), is_present),
    )


@compilable("mask decoder", conditioned=(0,), mask_prompt=(0,))
def _point_at(
    network: Sam2VideoModel, conditioned: Tensor, positions: Tensor, mask_prompt: Tensor
) -> Float[Tensor, "objects channels"]:
    """Return what the decoder would point at objects with; no mask is made."""
    decoder = network.mask_decoder
    decoded = _attend_to_prompts(network, conditioned, positions, None, None, mask_prompt)
    (token,) = tokens_of_masks(decoder, decoded, is_multimask=False).unbind(1)
    is_present = score_objects(decoder, decoded) > 0
    return _pointers(network, network.object_pointer_proj(token), is_present)


def _attend_to_prompts(
    network: Sam2VideoModel,
    conditioned: Tensor,
    positions: Tensor,
    points: Tensor | None,
    labels: Tensor | None,
    mask_prompt: Tensor | None,
) -> Decoded:
    sparse, dense = embed_prompts(network, conditioned, points, labels, mask_prompt)
    image = rearrange(conditioned + dense, "n c h w -> n (h w) c")
    return attend_both_ways(network.mask_decoder, image, positions, sparse)


def adopt_mask(
    network: Sam2VideoModel,
    features: FrameFeatures,
    masks: Float[Tensor, "objects height width"],
) -> HeadOutput:
    """Take given masks (1 = object) as the output; the decoder only makes their pointers.

    The pointer comes from a single-mask run with the mask through `mask_downsample`, as in Meta's
    implementation; transformers asks for three there and gets another pointer.
    """
    masks = masks.unsqueeze(1)
    pointers = _point_at(
        network,
        features.spread(features.embedding),
        image_positions(network),
        network.mask_downsample(masks),
    )
    is_present = masks.flatten(1).any(dim=1)
    return HeadOutput(
        mask_logits=masks.float() * GIVEN_SCALE + GIVEN_BIAS,
        iou_predictions=masks.new_ones(masks.shape[0], 1),
        object_score_logits=is_present.float() * GIVEN_SCALE + GIVEN_BIAS,
        best=torch.zeros(len(masks), dtype=torch.long, device=masks.device),
        pointers=_pointers(network, pointers, is_present),
    )


def _pointers(
    network: Sam2VideoModel,
    pointers: Float[Tensor, "objects channels"],
    is_present: Tensor,
) -> Float[Tensor, "objects channels"]:
    return torch.where(is_present[:, None], pointers, network.no_object_pointer.to(pointers.dtype))
