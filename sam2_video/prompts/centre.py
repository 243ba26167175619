"""The correction click of evaluation: on the centre of the largest error."""

from itertools import pairwise

import torch
from jaxtyping import Float, Int16, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from sam2_video.prompts.points import Labels, Points
from sam2_video.structures import IGNORE, OBJECT

CELLS = (32, 8, 1)
"""Sides of the square cells in which the innermost pixel is looked for, one after another."""
NOWHERE = torch.iinfo(torch.int64).max


@torch.no_grad()
def centre_click(
    targets: UInt8[Tensor, "objects height width"],
    mask_logits: Float[Tensor, "objects mask_height mask_width"],
) -> tuple[Points, Labels]:
    """Return a click for each object on the pixel deepest inside of what is wrong.

    Depth is the distance to the nearest pixel that is not wrong in the same way, as in Meta's
    `sample_one_point_from_error_center`: positive where the object was missed, negative where
    something else was taken for it; of two that are equally deep the negative one, then the first
    in the order of rows. Where nothing is wrong there is no click: label -1 (Meta's clicks beside
    the object at (0, 0), even if the object is there). Ignored pixels are not wrong. Waits for the
    device.
    """
    logits = F.interpolate(
        mask_logits.float().unsqueeze(1), targets.shape[-2:], mode="bilinear", align_corners=False
    ).squeeze(1)
    is_object = targets == OBJECT
    is_wrong = ((logits > 0) != is_object) & (targets != IGNORE)
    # one more than the label of a click there
    regions = is_wrong.byte() + (is_wrong & is_object).byte()
    pixels = innermost_pixels(regions)
    width = targets.shape[-1]
    points = torch.stack((pixels % width, pixels // width), dim=1).float()
    labels = regions.flatten(1).gather(1, pixels[:, None]).long() - 1
    return points.unsqueeze(1), labels


def innermost_pixels(
    regions: UInt8[Tensor, "objects height width"],
) -> Int64[Tensor, " objects"]:
    """Return the pixel of any region, flat, that is farthest from all pixels of other values.

    What lies beyond the image's edge has another value, 0 is no region. The exact Euclidean
    distance decides, then the lower value, then the order of rows. Without any region it is 0.

    The search goes from coarse cells to pixels and leaves out what cannot be farthest: no pixel is
    farther than from the ends of its run in its column and in its row, nor farther than the middle
    of its cell by more than the way to it.
    """
    width = regions.shape[2]
    regions = F.pad(regions, (0, -width % CELLS[0], 0, -regions.shape[1] % CELLS[0]))
    down = _distances_down(regions)
    bounds = torch.minimum(down, _distances_down(regions.mT.contiguous()).mT)
    tops = {size: _largest_of_cells(bounds, size) for size in CELLS}
    cells = tops[CELLS[0]].nonzero()
    farthest = cells.new_zeros(len(regions))
    for size, finer in pairwise((*CELLS, 0)):
        owners, rows, columns = cells.unbind(1)
        middles = owners, rows * size + size // 2, columns * size + size // 2
        squared = _squared_distances(down, bounds, middles)
        farthest = farthest.scatter_reduce(0, owners, squared, "amax")
        if not finer:
            is_kept = squared == farthest[owners]
        else:
            # in whole pixels: half the diagonal of a cell, rounded up
            limits = (squared.double().sqrt() + size * 0.75).square()
            cells = _divide(cells[limits >= farthest[owners]], size // finer)
            is_kept = tops[finer][cells.unbind(1)].long() ** 2 >= farthest[cells[:, 0]].clamp(min=1)
        cells = cells[is_kept]
    # only those that are farthest are left: the lowest value, then the first, is taken
    owners, rows, columns = cells.unbind(1)
    places = rows * width + columns
    ranks = regions[cells.unbind(1)].long() * bounds[0].numel() + places
    best = torch.full_like(farthest, NOWHERE).scatter_reduce(0, owners, ranks, "amin")
    return torch.where(best == NOWHERE, 0, best % bounds[0].numel())


def _largest_of_cells(
    bounds: Int16[Tensor, "objects height width"], size: int
) -> Int16[Tensor, "objects rows columns"]:
    """Return the largest value in each square cell of this side."""
    return bounds.unflatten(1, (-1, size)).unflatten(3, (-1, size)).amax((2, 4))


def _divide(cells: Int64[Tensor, "_cells 3"], parts: int) -> Int64[Tensor, "_finer_cells 3"]:
    """Return the cells (object, row, column) that lie within cells of `parts` times the side."""
    steps = torch.arange(parts, device=cells.device)
    shifts = torch.cartesian_prod(steps.new_zeros(1), steps, steps)
    scale = torch.stack((steps.new_ones(()), steps.new_tensor(parts), steps.new_tensor(parts)))
    return ((cells * scale)[:, None] + shifts).flatten(0, 1)


def _distances_down(
    regions: UInt8[Tensor, "objects height width"],
) -> Int16[Tensor, "objects height width"]:
    """Return how far each pixel of a region is from the nearer end of its run in its column."""
    # a row of all objects lies together, and each step is one operation on it
    lines = regions.transpose(0, 1).contiguous()
    is_same = (lines[1:] == lines[:-1]).short()
    above = torch.ones_like(lines, dtype=torch.int16)
    below, one = above.clone(), above.new_ones(())
    for row in range(1, len(lines)):
        torch.addcmul(one, above[row - 1], is_same[row - 1], out=above[row])
    for row in range(len(lines) - 2, -1, -1):
        torch.addcmul(one, below[row + 1], is_same[row], out=below[row])
    return (torch.minimum(above, below) * (lines > 0)).transpose(0, 1).contiguous()


def _squared_distances(
    down: Int16[Tensor, "objects height width"],
    bounds: Int16[Tensor, "objects height width"],
    pixels: tuple[Int64[Tensor, " pixels"], ...],
) -> Int64[Tensor, " pixels"]:
    """Return the squared distance of pixels (object, row, column) to the nearest other value.

    It is the minimum over the pixel's row of (distance in the column)^2 + (distance in the row)^2
    (Felzenszwalb and Huttenlocher, 2012). No offset beyond `bounds` can be less.
    """
    objects, rows, columns = pixels
    nearest = bounds[pixels].long()
    squared = nearest**2
    reach = int(nearest.max()) if len(nearest) else 0
    for offset in range(1, reach):
        for place in (columns - offset, columns + offset):
            found = down[objects, rows, place.clamp(0, down.shape[2] - 1)].long()
            squared = torch.minimum(squared, found**2 + offset**2)
    return squared
