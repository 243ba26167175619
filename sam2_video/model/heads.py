"""SAM's prompt encoder and mask decoder for the objects of one frame."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Sam2VideoModel
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoPromptEncoder

from sam2_video.model.compilation import compilable
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
    positions = _image_positions(network)
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
    sparse, dense = _embed_prompts(network, conditioned, points, labels, mask_prompt)
    decoder = network.mask_decoder
    # transformers decides by `decoder.training`, but a frozen decoder is in eval mode while the
    # tracker trains, and SAM 2 replaces unstable masks in evaluation only
    decoder.dynamic_multimask_via_stability = not is_training
    masks, ious, tokens, scores = decoder(
        image_embeddings=conditioned,
        image_positional_embeddings=positions,
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=is_multimask,
        high_resolution_features=[
            level if len(level) == 1 else features.spread(level)
            for level in (features.quarter, features.half)
        ],
    )
    masks, ious, tokens = masks.squeeze(1).float(), ious.squeeze(1), tokens.squeeze(1)
    scores = scores.reshape(-1).float()
    is_present = scores > 0
    masks = torch.where(is_present[:, None, None, None], masks, ABSENT_LOGIT)
    best = ious.argmax(dim=1)
    rows = torch.arange(best.shape[0], device=best.device)
    token = tokens[rows, best if tokens.shape[1] > 1 else torch.zeros_like(best)]
    return HeadOutput(
        mask_logits=masks,
        iou_predictions=ious.float(),
        object_score_logits=scores,
        best=best,
        pointers=_pointers(network, network.object_pointer_proj(token), is_present),
    )


def adopt_mask(
    network: Sam2VideoModel,
    features: FrameFeatures,
    masks: Float[Tensor, "objects height width"],
    is_training: bool,
) -> HeadOutput:
    """Take given masks (1 = object) as the output; the decoder only makes their pointers.

    The pointer comes from a single-mask run with the mask through `mask_downsample`, as in Meta's
    implementation; transformers asks for three there and gets another pointer.
    """
    masks = masks.unsqueeze(1)
    decoded = decode(
        network,
        features.spread(features.embedding),
        features,
        points=None,
        labels=None,
        mask_prompt=network.mask_downsample(masks),
        is_multimask=False,
        is_training=is_training,
    )
    is_present = masks.flatten(1).any(dim=1)
    return HeadOutput(
        mask_logits=masks.float() * GIVEN_SCALE + GIVEN_BIAS,
        iou_predictions=masks.new_ones(masks.shape[0], 1),
        object_score_logits=is_present.float() * GIVEN_SCALE + GIVEN_BIAS,
        best=torch.zeros_like(decoded.best),
        pointers=_pointers(network, decoded.pointers, is_present),
    )


def _pointers(
    network: Sam2VideoModel,
    pointers: Float[Tensor, "objects channels"],
    is_present: Tensor,
) -> Float[Tensor, "objects channels"]:
    return torch.where(is_present[:, None], pointers, network.no_object_pointer.to(pointers.dtype))


def _embed_prompts(
    network: Sam2VideoModel,
    conditioned: Tensor,
    points: Tensor | None,
    labels: Tensor | None,
    mask_prompt: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Return sparse and dense prompt embeddings, computed in fp32.

    Positions are multiplied by 2 pi and random frequencies: half precision would blur them.
    """
    encoder = network.prompt_encoder
    if mask_prompt is not None:
        mask_prompt = _fit(mask_prompt.float(), encoder.mask_input_size)
    square = None if points is None else _scale_to_square(points, encoder).unsqueeze(1)
    with torch.autocast(conditioned.device.type, enabled=False):
        sparse, dense = encoder(
            input_points=square,
            input_labels=None if labels is None else labels.unsqueeze(1),
            input_boxes=None,
            input_masks=mask_prompt,
        )
    if points is None:
        # no point is two points of padding, and padding is embedded as this whatever is computed
        sparse = encoder.not_a_point_embed.weight.expand(len(conditioned), 1, 2, -1)
    return sparse, dense


def _fit(mask_prompt: Tensor, size: tuple[int, int]) -> Tensor:
    if mask_prompt.shape[-2:] == size:
        return mask_prompt
    return F.interpolate(
        mask_prompt, size=size, mode="bilinear", align_corners=False, antialias=True
    )


def _scale_to_square(points: Tensor, encoder: Sam2VideoPromptEncoder) -> Tensor:
    """Return points whose x the encoder, which knows one side only, will divide rightly."""
    height, width = encoder.image_embedding_size
    if height == width:
        return points
    x = (points[..., :1] + 0.5) * (height / width) - 0.5
    return torch.cat([x, points[..., 1:]], dim=-1)


def _image_positions(network: Sam2VideoModel) -> Tensor:
    """Return the positions of the image features, which are made once a network and size."""
    embed = network.shared_image_embedding
    frequencies = embed.positional_embedding
    assert isinstance(frequencies, Tensor)
    # weights that are loaded are written over the old ones
    version = 0 if frequencies.is_inference() else frequencies._version
    size = network.prompt_encoder.image_embedding_size
    return _grid_positions(embed, version, size, frequencies.device, frequencies.dtype)


@lru_cache(maxsize=8)
def _grid_positions(
    embed: nn.Module,
    version: int,
    size: tuple[int, int],
    device: torch.device,
    dtype: torch.dtype,
) -> Float[Tensor, "1 channels height width"]:
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(device.type, enabled=False):
        y, x = ((torch.arange(side, device=device, dtype=dtype) + 0.5) / side for side in size)
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
        return rearrange(embed(grid.unsqueeze(0)), "1 h w c -> 1 c h w")
