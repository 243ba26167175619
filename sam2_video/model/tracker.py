"""One step of tracking, `track_frame`: the only place where a frame meets memory."""

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from transformers import Sam2VideoModel

from sam2_video.model.compilation import compilable
from sam2_video.model.correction import Clicks, correct
from sam2_video.model.heads import FrameFeatures, HeadOutput, adopt_mask, decode, wants_hypotheses
from sam2_video.model.joined import Projections
from sam2_video.model.memory import MemoryBank, MemoryEntry
from sam2_video.model.memory_attention import attend_to_memory, memory_positions
from sam2_video.model.memory_encoder import embed_masks, fuse, project_image
from sam2_video.model.recompute import SAVING, Recomputed, run_and_keep
from sam2_video.structures import Corrections, FrameOutput, Prompt, send
from sam2_video.upsampling import upsample


def track_frame(
    network: Sam2VideoModel,
    features: FrameFeatures,
    bank: MemoryBank,
    frame: int,
    objects: Sequence[int],
    prompt: Prompt | None,
    num_frames: int | None,
    is_training: bool,
    is_memory_needed: bool = True,
    is_reverse: bool = False,
    corrections: Corrections | Clicks | None = None,
    projections: Projections = (),
    recomputed: Recomputed = "none",
) -> tuple[list[FrameOutput], MemoryEntry]:
    """Find objects on one frame with the help of the cohort's memory, and remember them.

    Args:
        network: SAM 2.
        features: this frame's image features, seated: of exactly these objects.
        bank: the memory of exactly these objects, in this order.
        frame: index of the frame in its clip or video.
        objects: names of the rows, for the output.
        prompt: prompts of exactly these objects on this frame, or None to track. Prompted frames
            are conditioning frames; a bank without entries means that they start here.
        num_frames: length of the clip or video if known (short ones read fewer pointers).
        is_training: Meta's training semantics (soft memory masks, future conditioning pointers)
            or evaluation's (binary memory of clicked frames, stability-based choice).
        is_memory_needed: False where nothing will read this frame's spatial memory.
        is_reverse: frames come in falling order.
        corrections: of exactly these objects on this frame, which makes it a conditioning frame; a
            given mask cannot be corrected. `Clicks` in evaluation.
        projections: of this network's memory attention, if they have been joined.
        recomputed: what backward computes a second time; of a whole frame the caller does that.

    Returns:
        The output, then one after each correction click; and the entry to append to the bank, made
        from the last.
    """
    given = None if prompt is None else prompt.masks
    assert given is None or corrections is None, "a given mask is not corrected"
    if given is not None:
        said = [adopt_mask(network, features, given)]
    else:
        said = _decode_with_memory(
            network,
            features,
            bank,
            frame,
            prompt,
            num_frames,
            is_training,
            is_reverse,
            corrections,
            projections,
            recomputed,
        )
    is_conditioning = prompt is not None or corrections is not None
    memory = None
    if is_memory_needed:
        is_binary = is_conditioning and given is None and not is_training
        last = said[-1]
        memory = run_and_keep(
            recomputed not in SAVING,
            encode_memory,
            network,
            features,
            last.best_mask_logits,
            last.object_score_logits,
            is_binary,
        )
    outputs = [
        FrameOutput(
            frame=frame,
            objects=tuple(objects),
            mask_logits=heads.mask_logits,
            iou_predictions=heads.iou_predictions,
            object_score_logits=heads.object_score_logits,
            best=heads.best,
            pointers=heads.pointers,
            is_given=given is not None,
        )
        for heads in said
    ]
    return outputs, MemoryEntry(frame, is_conditioning, memory, said[-1].pointers)


def _decode_with_memory(
    network: Sam2VideoModel,
    features: FrameFeatures,
    bank: MemoryBank,
    frame: int,
    prompt: Prompt | None,
    num_frames: int | None,
    is_training: bool,
    is_reverse: bool,
    corrections: Corrections | Clicks | None,
    projections: Projections,
    recomputed: Recomputed,
) -> list[HeadOutput]:
    """Return what is said before the first correction, and after each."""
    is_prompted = prompt is not None
    points, labels = (prompt.points, prompt.labels) if prompt is not None else (None, None)
    if bank.conditioning and not is_prompted:
        conditioned = condition_on_memory(
            network,
            features,
            bank,
            frame,
            num_frames,
            is_training,
            is_reverse,
            projections=projections,
            recomputed=recomputed,
        )
    else:
        unconditioned = rearrange(network.no_memory_embedding, "1 1 c -> c 1 1")
        conditioned = features.spread(features.embedding + unconditioned)
    num_points = 0 if points is None else points.shape[1]
    said = run_and_keep(
        recomputed != "cheap",
        decode,
        network,
        conditioned,
        features,
        points,
        labels,
        None,
        wants_hypotheses(network, num_points, is_prompted=is_prompted),
        is_training,
    )
    if corrections is None:
        return [said]
    corrected = correct(
        network,
        conditioned,
        features,
        said,
        points,
        labels,
        corrections,
        is_prompted=is_prompted,
        is_training=is_training,
        is_recomputed=recomputed != "none",
    )
    return [said, *corrected]


def condition_on_memory(
    network: Sam2VideoModel,
    features: FrameFeatures,
    bank: MemoryBank,
    frame: int,
    num_frames: int | None,
    is_training: bool,
    is_reverse: bool = False,
    *,
    projections: Projections = (),
    recomputed: Recomputed = "none",
) -> Float[Tensor, "objects channels height width"]:
    """Let the frame's features attend to the spatial memories and object pointers of the bank."""
    height, width = features.embedding.shape[-2:]
    memory, positions = _spatial_tokens(network, bank, frame, (height, width), is_reverse)
    max_pointers = network.config.max_object_pointers_in_encoder
    max_pointers = max_pointers if num_frames is None else min(num_frames, max_pointers)
    read = bank.pointers(frame, max_pointers, is_training, is_reverse)
    if not read:
        # in evaluation, where all that was prompted lies ahead
        return attend_to_memory(
            network, features, memory, positions, num_pointer_tokens=0, projections=projections
        )
    pointers, pointer_positions = _pointer_tokens(network, read, max_pointers)
    return attend_to_memory(
        network,
        features,
        torch.cat([memory, pointers], dim=1),
        torch.cat([positions, pointer_positions]),
        num_pointer_tokens=pointers.shape[1],
        projections=projections,
        recomputed=recomputed,
    )


def _spatial_tokens(
    network: Sam2VideoModel,
    bank: MemoryBank,
    frame: int,
    size: tuple[int, int],
    is_reverse: bool,
) -> tuple[Float[Tensor, "objects tokens channels"], Float[Tensor, "tokens channels"]]:
    slots = network.memory_temporal_positional_encoding
    space = memory_positions(network, *size)
    features, positions = [], []
    for slot, entry in bank.spatial(frame, network.num_maskmem, is_reverse):
        if entry.features is None:
            raise ValueError(f"frame {frame} reads the memory of frame {entry.frame}: not encoded")
        features.append(entry.features)
        positions.append(space + slots[slot, 0])
    return torch.cat(features, dim=1), torch.cat(positions)


def _pointer_tokens(
    network: Sam2VideoModel, read: Sequence[tuple[int, MemoryEntry]], max_pointers: int
) -> tuple[Float[Tensor, "objects tokens channels"], Float[Tensor, "tokens channels"]]:
    """Return object pointers, split to the memory's width, and their temporal encoding."""
    pointers = torch.stack([entry.pointers for _, entry in read], dim=1)
    width, memory_width = pointers.shape[-1], network.mem_dim
    tokens = rearrange(pointers, "n p (s c) -> n (p s) c", c=memory_width)
    if not network.config.enable_temporal_pos_encoding_for_object_pointers:
        return tokens, tokens.new_zeros(tokens.shape[1], memory_width)
    distances = torch.tensor([distance for distance, _ in read], dtype=torch.float32)
    distances = send(distances, pointers.device)
    encoding = _time_encoding(distances / max(max_pointers - 1, 1), width)
    positions = network.temporal_positional_encoding_projection_layer(encoding)
    return tokens, positions.repeat_interleave(width // memory_width, dim=0)


def _time_encoding(
    offsets: Float[Tensor, " pointers"], width: int
) -> Float[Tensor, "pointers channels"]:
    """Encode normalised time offsets by sines, then cosines (Vaswani et al., 2017)."""
    half = width // 2
    exponents = torch.arange(half, dtype=torch.float32, device=offsets.device) // 2
    angles = offsets[:, None] / 10000 ** (2 * exponents / half)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


@compilable("memory encoder", features=(0,), mask_logits=(0,), object_score_logits=(0,))
def encode_memory(
    network: Sam2VideoModel,
    features: FrameFeatures,
    mask_logits: Float[Tensor, "objects 1 mask_height mask_width"],
    object_score_logits: Float[Tensor, " objects"],
    is_binary: bool,
) -> Float[Tensor, "objects tokens channels"]:
    """Encode a frame and the masks of the objects, of any size, into spatial memory.

    Masks enter as sigmoid x 20 - 10, or binarised. The occlusion embedding (SAM 2.1) is added
    where the object is judged absent.
    """
    config, encoder = network.config, network.memory_encoder
    height, width = (side * 16 for side in features.embedding.shape[-2:])
    logits = mask_logits
    if logits.shape[-2:] != (height, width):
        logits = upsample(logits, (height, width))
    masks = (logits > 0).float() if is_binary else logits.sigmoid()
    masks = masks * config.sigmoid_scale_for_mem_enc + config.sigmoid_bias_for_mem_enc
    # its own forward would project the image again for each object
    images = features.spread(project_image(encoder, features.embedding))
    memory = fuse(encoder, images + embed_masks(encoder, masks))
    occlusion = network.occlusion_spatial_embedding_parameter
    if occlusion is not None:
        is_absent = (object_score_logits <= 0).to(memory.dtype)
        memory = memory + is_absent[:, None, None, None] * occlusion[..., None, None]
    return rearrange(memory, "n c h w -> n (h w) c")
