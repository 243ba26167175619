"""Points and boxes of many masks at once, from uniform random numbers drawn elsewhere.

Coordinates are whole pixels (x, y) of the model's input, as in Meta's SAM 2: the prompt encoder
adds the half pixel. A region without a pixel has no point: (0, 0) with the label of padding, -1,
which is SAM 2's own "no prompt".
"""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

NEGATIVE = 0
POSITIVE = 1
BOX_CORNERS = (2, 3)
PADDING = -1

# as in Meta's training: a corner moves at most this many pixels, however large the object
BOX_NOISE_LIMIT = 20.0

Points = Float[Tensor, "objects points 2"]
Labels = Int64[Tensor, "objects points"]


def uniform_points(
    is_inside: Bool[Tensor, "objects height width"], numbers: Float[Tensor, "objects points"]
) -> tuple[Points, Labels]:
    """Take the k-th pixel of each region, k being that share of its pixels; labels are positive."""
    width = is_inside.shape[-1]
    ranks = is_inside.flatten(1).cumsum(1, dtype=torch.int32)
    num_pixels = ranks[:, -1:]
    # a number just under 1 can round up to the pixel after the last
    chosen = torch.minimum((numbers * num_pixels).int() + 1, num_pixels)
    pixels = torch.searchsorted(ranks, chosen)
    points = torch.stack((pixels % width, pixels // width), dim=-1).float()
    return points, torch.where(num_pixels > 0, POSITIVE, PADDING).expand(numbers.shape)


def noisy_boxes(
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
