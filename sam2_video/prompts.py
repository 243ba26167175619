"""Draw prompts from true masks: random ones to train with, fixed ones to evaluate with.

Coordinates are whole pixels (x, y) of the model's input, as in Meta's SAM 2: the prompt encoder
adds the half pixel. An object whose mask is empty (nearest resizing can lose a tiny one) has no
point to show: its points are padding, label -1, which is SAM 2's own "no prompt", and its mask
prompt is empty, which SAM 2 reads as absent. Its target is empty too, so that is what it is taught.
"""

from collections import defaultdict
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64, UInt8
from torch import Tensor

from sam2_video.config import PromptConfig
from sam2_video.structures import OBJECT, Prompt, PromptKind, send

POSITIVE = 1
BOX_CORNERS = (2, 3)
PADDING = -1

# as in Meta's training: a corner moves at most this many pixels, however large the object
BOX_NOISE_LIMIT = 20.0

Points = Float[Tensor, "objects points 2"]
Labels = Int64[Tensor, "objects points"]


def draw_prompts(
    targets: UInt8[Tensor, "objects frames height width"],
    prompt_frames: tuple[int, ...],
    object_clip: Sequence[int] | Int[Tensor, " objects"],
    seeds: tuple[int, ...],
    settings: PromptConfig,
) -> tuple[Prompt, ...]:
    """Draw every object's prompt on its prompt frame; one kind for all objects of a clip.

    A clip's prompts depend on its seed and its own objects alone, and are the same on every
    device: random numbers are drawn on the host, and nothing waits for the device (a tensor
    `object_clip` that is not on the CPU is read back, though).

    Raises:
        ValueError: if the probabilities of the kinds are negative or all 0.
    """
    if isinstance(object_clip, Tensor):
        object_clip = object_clip.tolist()
    probabilities = _probabilities(settings)
    num_numbers = {PromptKind.MASK: 0, PromptKind.BOX: 4, PromptKind.POINT: settings.num_points}
    generators = [np.random.default_rng(seed) for seed in seeds]
    kinds = [tuple(PromptKind)[rng.choice(len(PromptKind), p=probabilities)] for rng in generators]
    groups: dict[tuple[int, PromptKind], list[int]] = defaultdict(list)
    numbers: dict[tuple[int, PromptKind], list[np.ndarray]] = defaultdict(list)
    for row, (clip, frame) in enumerate(zip(object_clip, prompt_frames, strict=True)):
        kind = kinds[clip]
        groups[frame, kind].append(row)
        numbers[frame, kind].append(generators[clip].random(num_numbers[kind], dtype=np.float32))
    return tuple(
        _draw(
            _pick(targets[:, frame], rows) == OBJECT,
            kind,
            send(torch.from_numpy(np.stack(numbers[frame, kind])), targets.device),
            settings.box_noise,
            frame=frame,
            objects=tuple(rows),
        )
        for (frame, kind), rows in sorted(groups.items())
    )


def prompt_from_mask(
    targets: UInt8[Tensor, "objects height width"],
    kind: PromptKind,
    num_points: int,
    *,
    frame: int,
    objects: tuple[int, ...],
) -> Prompt:
    """Return the prompt used in evaluation: the mask, its tight box, or its innermost points.

    The first point is the pixel farthest from the outside of the object, each further one the
    pixel farthest from the outside and from the points before it. Points wait for the device.
    """
    is_object = targets == OBJECT
    if kind is PromptKind.POINT:
        points, labels = _innermost_points(is_object, num_points)
        return Prompt(frame, objects, points=points, labels=labels)
    numbers = torch.full((len(objects), 4), 0.5, device=targets.device)
    return _draw(is_object, kind, numbers, 0.0, frame=frame, objects=objects)


def _draw(
    is_object: Bool[Tensor, "objects height width"],
    kind: PromptKind,
    numbers: Float[Tensor, "objects numbers"],
    box_noise: float,
    *,
    frame: int,
    objects: tuple[int, ...],
) -> Prompt:
    """Turn uniform random numbers into a prompt."""
    if kind is PromptKind.MASK:
        return Prompt(frame, objects, masks=is_object.float())
    if kind is PromptKind.BOX:
        points, labels = _noisy_boxes(is_object, numbers, box_noise)
    else:
        points, labels = _uniform_points(is_object, numbers)
    return Prompt(frame, objects, points=points, labels=labels)


def _uniform_points(
    is_object: Bool[Tensor, "objects height width"], numbers: Float[Tensor, "objects points"]
) -> tuple[Points, Labels]:
    """Take the k-th pixel of each object, k being that share of its pixels."""
    width = is_object.shape[-1]
    ranks = is_object.flatten(1).cumsum(1, dtype=torch.int32)
    num_pixels = ranks[:, -1:]
    # a number just under 1 can round up to the pixel after the last
    chosen = torch.minimum((numbers * num_pixels).int() + 1, num_pixels)
    pixels = torch.searchsorted(ranks, chosen)
    points = torch.stack((pixels % width, pixels // width), dim=-1).float()
    return points, torch.where(num_pixels > 0, POSITIVE, PADDING).expand(numbers.shape)


def _noisy_boxes(
    is_object: Bool[Tensor, "objects height width"],
    numbers: Float[Tensor, "objects 4"],
    box_noise: float,
) -> tuple[Points, Labels]:
    """Return the two corners of each tight box, moved by up to `box_noise` of its sides.

    The tight box spans the first and last pixel, as Meta's `mask_to_box`. Corners stay inside the
    image.
    """
    height, width = is_object.shape[1:]
    first_x, last_x = _extent(is_object.any(1))
    first_y, last_y = _extent(is_object.any(2))
    corners = torch.stack((first_x, first_y, last_x, last_y), dim=1).float().unflatten(1, (2, 2))
    shifts = ((corners[:, 1] - corners[:, 0]) * box_noise).clamp(max=BOX_NOISE_LIMIT).unsqueeze(1)
    corners = corners + (2 * numbers.unflatten(1, (2, 2)) - 1) * shifts
    # noise above half a side can swap the corners
    corners = corners.sort(dim=1).values
    x, y = corners.unbind(-1)
    corners = torch.stack((x.clamp(0, width - 1), y.clamp(0, height - 1)), dim=-1)
    is_shown = is_object.flatten(1).any(1)
    labels = torch.stack([torch.where(is_shown, corner, PADDING) for corner in BOX_CORNERS], dim=1)
    return torch.where(is_shown[:, None, None], corners, 0), labels


def _extent(
    is_occupied: Bool[Tensor, "objects length"],
) -> tuple[Int64[Tensor, " objects"], Int64[Tensor, " objects"]]:
    """Return the first and the last True of each row."""
    length = is_occupied.shape[1]
    places = torch.arange(length, device=is_occupied.device)
    first = torch.where(is_occupied, places, length).amin(1)
    return first, torch.where(is_occupied, places, -1).amax(1)


def _innermost_points(
    is_object: Bool[Tensor, "objects height width"], num_points: int
) -> tuple[Points, Labels]:
    """Return for each object the centres of the largest circles free of earlier points."""
    points = np.zeros((is_object.shape[0], num_points, 2), dtype=np.float32)
    labels = np.full((is_object.shape[0], num_points), PADDING, dtype=np.int64)
    for row, mask in enumerate(is_object.cpu().numpy()):
        # what lies beyond the image's edge is outside of the object
        free = np.pad(mask.astype(np.uint8), 1)
        for number in range(num_points):
            distances = cv2.distanceTransform(free, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            y, x = np.unravel_index(distances.argmax(), distances.shape)
            if not free[y, x]:
                break
            points[row, number] = x - 1, y - 1
            labels[row, number] = POSITIVE
            free[y, x] = 0
    return torch.from_numpy(points).to(is_object.device), torch.from_numpy(labels).to(
        is_object.device
    )


def _probabilities(settings: PromptConfig) -> np.ndarray:
    """Return the probability of each kind, in the order of `PromptKind`."""
    shares = np.array([settings.mask, settings.box, settings.point])
    if shares.min() < 0 or shares.sum() <= 0:
        raise ValueError(
            f"prompts: mask, box and point are shares of the clips, got {shares.tolist()}; "
            f"expected numbers of at least 0, one of them above 0"
        )
    return shares / shares.sum()


def _pick(
    frame_targets: UInt8[Tensor, "_objects height width"], rows: Sequence[int]
) -> UInt8[Tensor, "objects height width"]:
    """Return the rows of some objects."""
    return frame_targets[send(torch.tensor(rows), frame_targets.device)]
