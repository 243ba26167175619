"""How a user shows an object on one frame, and the form in which the network takes it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped, UInt8
from torch import Tensor
from torch.nn import functional as F

from sam2_video.structures import Prompt

BOX_CORNER_LABELS = (2, 3)
PADDING = -1
POINT_LABELS = (1, 0, PADDING)


@dataclass(frozen=True)
class ObjectPrompt:
    """How one object is shown on one frame, in pixels of that frame.

    Either a `mask` (non-zero = object); or a `box` (x0, y0, x1, y1), or `points` (x, y) with
    `labels` (1 on the object, 0 beside it, -1 no point at all), or a box and points together.

    Several prompts of one object on one frame are rounds: each after the first has points that
    correct what was said after those before it. After the last round `num_clicks` are simulated,
    one after another, each on the centre of what is wrong by `truth` (1 = object, 255 = unknown).

    Raises:
        ValueError: none of these, or one that makes no sense.
    """

    object_id: int
    frame: int
    mask: Shaped[Tensor, "height width"] | None = None
    box: Sequence[float] | None = None
    points: Sequence[Sequence[float]] | None = None
    labels: Sequence[int] | None = None
    truth: UInt8[Tensor, "height width"] | None = None
    num_clicks: int = 0

    def __post_init__(self) -> None:
        problem = self._find_problem()
        if problem is not None:
            raise ValueError(f"prompt of object {self.object_id} on frame {self.frame}: {problem}")

    def _find_problem(self) -> str | None:
        has_mask, has_box, has_points = (x is not None for x in (self.mask, self.box, self.points))
        if has_mask == (has_box or has_points):
            got = "a mask beside a box or points" if has_mask else "no mask, box or points"
            return f"got {got}; expected a mask, or a box, points or both"
        if self.box is not None and len(self.box) != 4:
            return f"got the box {tuple(self.box)}; expected x0, y0, x1, y1"
        if self.num_clicks < 0:
            return f"got {self.num_clicks} clicks; expected 0 or more"
        if self.num_clicks and (has_mask or self.truth is None):
            got = "a mask" if has_mask else "no truth"
            return f"got {self.num_clicks} clicks and {got}; expected a box or points, and truth"
        return None if self.points is None else _find_point_problem(self.points, self.labels or ())


def _find_point_problem(points: Sequence[Sequence[float]], labels: Sequence[int]) -> str | None:
    if not len(points):
        return "got no points; expected at least one"
    for point in points:
        if len(point) != 2:
            return f"got the point {tuple(point)}; expected x, y"
    if len(labels) != len(points):
        return f"got {len(points)} points and {len(labels)} labels; expected as many of both"
    if not set(labels) <= set(POINT_LABELS):
        return f"got labels {list(labels)}; expected 1 (on the object), 0 (beside it), -1 (padding)"
    return None


def count_points(prompt: ObjectPrompt) -> int:
    """Return the number of points, a box being two; 0 for a mask."""
    return 2 * (prompt.box is not None) + len(prompt.points or ())


def to_model(
    frame: int,
    prompts: Sequence[ObjectPrompt],
    size: tuple[int, int],
    image_size: tuple[int, int],
    device: torch.device,
) -> list[Prompt]:
    """Return the prompts on a frame of (height, width) `size` in pixels of the model's input.

    Prompts of one kind, with one number of points, are joined.
    """
    groups: dict[int, list[ObjectPrompt]] = {}
    for prompt in prompts:
        groups.setdefault(count_points(prompt), []).append(prompt)
    joined = []
    for num_points, group in groups.items():
        names = tuple(prompt.object_id for prompt in group)
        if not num_points:
            masks = torch.stack([_given_mask(prompt, size) for prompt in group]).to(device)
            joined.append(Prompt(frame, names, masks=_resize_masks(masks, image_size)))
            continue
        for prompt in group:
            _check_inside(prompt, size)
        scale = torch.tensor([image_size[1] / size[1], image_size[0] / size[0]])
        points, labels = zip(*(_points(prompt) for prompt in group), strict=True)
        joined.append(
            Prompt(
                frame,
                names,
                points=(torch.stack(points) * scale).to(device),
                labels=torch.stack(labels).to(device),
            )
        )
    return joined


def _check_inside(prompt: ObjectPrompt, size: tuple[int, int]) -> None:
    """Raise ValueError for a point or a corner that is not on a frame of (height, width)."""
    height, width = size
    labels = [*([] if prompt.box is None else BOX_CORNER_LABELS), *(prompt.labels or ())]
    for (x, y), label in zip(_points(prompt)[0].tolist(), labels, strict=True):
        if label != PADDING and not (0 <= x <= width and 0 <= y <= height):
            what = "the box corner" if label in BOX_CORNER_LABELS else "the point"
            raise ValueError(
                f"prompt of object {prompt.object_id} on frame {prompt.frame}: {what} ({x:g}, "
                f"{y:g}) lies outside the frame of {width} x {height} pixels; expected x, y in "
                "pixels of the frame"
            )


def _given_mask(prompt: ObjectPrompt, size: tuple[int, int]) -> Float[Tensor, "height width"]:
    if prompt.mask is None or tuple(prompt.mask.shape) != size:
        got = None if prompt.mask is None else tuple(prompt.mask.shape)
        raise ValueError(
            f"prompt of object {prompt.object_id} on frame {prompt.frame}: mask of size {got}; "
            f"expected the frame's {size}"
        )
    return (prompt.mask > 0).float()


def _resize_masks(
    masks: Float[Tensor, "objects height width"], size: tuple[int, int]
) -> Float[Tensor, "objects new_height new_width"]:
    """Resize binary masks as Meta's predictor does: a pixel belongs where half of it is covered."""
    if tuple(masks.shape[-2:]) == size:
        return masks
    resized = F.interpolate(masks.unsqueeze(1), size, mode="bilinear", antialias=True)
    return (resized.squeeze(1) >= 0.5).float()


def _points(prompt: ObjectPrompt) -> tuple[Float[Tensor, "points 2"], Int[Tensor, " points"]]:
    """Return the corners of the box, then the points, and their labels."""
    coordinates, labels = [], []
    if prompt.box is not None:
        x0, y0, x1, y1 = prompt.box
        coordinates += [[x0, y0], [x1, y1]]
        labels += BOX_CORNER_LABELS
    coordinates += [list(point) for point in prompt.points or ()]
    labels += prompt.labels or ()
    return torch.tensor(coordinates, dtype=torch.float32), torch.tensor(labels, dtype=torch.int32)
