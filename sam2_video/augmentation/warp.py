"""Move the pixels of frames and of masks by one geometry, exactly alike."""

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from sam2_video.augmentation.geometry import Geometry
from sam2_video.structures import BACKGROUND, OBJECT, send

Map = Float[Tensor, "height width"]


def source_pixels(
    geometry: Geometry, size: tuple[int, int], device: torch.device
) -> tuple[Map, Map]:
    """Return x and y in the old image, in pixels, for each pixel of the new one.

    One addition of numbers from the host for each: the same on every device to the last bit.
    """
    assert geometry.to_source is not None
    maps = []
    sides = np.array([size[1], size[0]])
    columns, rows = ((2 * np.arange(side) + 1) / side - 1 for side in sides)
    for (by_x, by_y, offset), flip, side in zip(
        geometry.to_source, geometry.flips, sides, strict=True
    ):
        from_columns = flip * by_x * columns * side / 2
        from_rows = (flip * (by_y * rows + offset) + 1) * side / 2 - 0.5
        both = torch.from_numpy(np.concatenate([from_columns, from_rows])).float()
        across, down = send(both, device).split([size[1], size[0]])
        maps.append(down[:, None] + across)
    return maps[0], maps[1]


def flip(geometry: Geometry, images: Tensor) -> Tensor:
    """Mirror images [..., height, width] without touching a value."""
    dims = [-1] * geometry.has_horizontal_flip + [-2] * geometry.has_vertical_flip
    return images.flip(dims) if dims else images


def warp_frames(
    geometry: Geometry, frames: Float[Tensor, "frames 3 height width"]
) -> Float[Tensor, "frames 3 height width"]:
    """Move normalised frames, bilinear; what comes from outside is ImageNet's mean, as in Meta's.

    The frames go through one `grid_sample` as if they were channels of one image.
    """
    if geometry.to_source is None:
        return flip(geometry, frames)
    height, width = frames.shape[-2:]
    x, y = source_pixels(geometry, (height, width), frames.device)
    grid = torch.stack(((2 * x + 1) / width - 1, (2 * y + 1) / height - 1), dim=-1)
    stacked = frames.reshape(1, -1, height, width)
    moved = F.grid_sample(stacked, grid[None], padding_mode="zeros", align_corners=False)
    return moved.view_as(frames)


def warp_masks(
    geometry: Geometry, masks: UInt8[Tensor, "objects frames height width"]
) -> tuple[UInt8[Tensor, "objects frames height width"], Bool[Tensor, "height width"]]:
    """Move masks of 0, 1 and 255 by nearest neighbour, never losing an object that is in view.

    Returns:
        The masks, background where they come from outside of the old frame: nothing of an object
        is seen there; and which pixels come from inside.
    """
    height, width = masks.shape[-2:]
    if geometry.to_source is None:
        inside = torch.ones(height, width, dtype=torch.bool, device=masks.device)
        return flip(geometry, masks), inside
    x, y = (axis.round() for axis in source_pixels(geometry, (height, width), masks.device))
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    places = (y.long() * width + x.long()).masked_fill_(~inside, 0).flatten()
    moved = masks.flatten(-2).index_select(-1, places).view_as(masks)
    moved.masked_fill_(~inside, BACKGROUND)
    lost = shows_object(masks) & ~shows_object(moved)
    if lost.any():
        _keep_small_objects(geometry, masks, moved, lost)
    return moved, inside


def shows_object(
    masks: UInt8[Tensor, "objects frames height width"],
) -> Bool[Tensor, "objects frames"]:
    """Say on which frames an object is seen."""
    return (masks == OBJECT).flatten(2).any(-1)


def _keep_small_objects(
    geometry: Geometry,
    masks: UInt8[Tensor, "objects frames height width"],
    moved: UInt8[Tensor, "objects frames height width"],
    lost: Bool[Tensor, "objects frames"],
) -> None:
    """Write into `moved` those pixels of lost objects that fall into the frame.

    An object of a few pixels can fall between the new ones: an empty mask would say that it left.
    """
    assert geometry.to_source is not None
    height, width = masks.shape[-2:]
    found = ((masks == OBJECT) & lost[..., None, None]).nonzero()
    objects, frames, rows, columns = found.unbind(1)
    mirror_x, mirror_y = geometry.flips
    x = mirror_x * ((2 * columns + 1) / width - 1) - float(geometry.to_source[0, 2])
    y = mirror_y * ((2 * rows + 1) / height - 1) - float(geometry.to_source[1, 2])
    (by_x, by_y), (and_x, and_y) = np.linalg.inv(geometry.to_source[:, :2]).tolist()
    column = (((by_x * x + by_y * y + 1) * width - 1) / 2).round().long()
    row = (((and_x * x + and_y * y + 1) * height - 1) / 2).round().long()
    is_seen = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    moved[objects[is_seen], frames[is_seen], row[is_seen], column[is_seen]] = OBJECT
