"""What a user asks for, held against the video: every mistake at once, or prompts to track."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool
from torch import Tensor

from sam2_video.model.stream import ObjectPrompt
from sam2_video.prediction.prompt_masks import read_prompt_masks
from sam2_video.prediction.requests import PromptRequest, raise_all
from sam2_video.structures import IGNORE

_HOW = "--mask first.png, --box 1:X0,Y0,X1,Y1, --point 1:X,Y or --prompts prompts.json"


@dataclass
class _Collected:
    """What was said of one object on one frame."""

    where: str
    masks: list[Tensor] = field(default_factory=list)
    boxes: list[tuple[float, ...]] = field(default_factory=list)
    points: list[tuple[float, ...]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)


def collect_prompts(
    requests: Sequence[PromptRequest], size: tuple[int, int], num_frames: int
) -> list[ObjectPrompt]:
    """Return one prompt for each object and frame that the requests speak of.

    Args:
        requests: what was asked for.
        size: height and width of the frames.
        num_frames: of the video.

    Raises:
        ValueError: all that cannot be: no prompt, one outside its frame or the video, an empty
            mask, clicks of which none is on the object.
    """
    if not requests:
        raise ValueError(f"no prompt: say what to track, with {_HOW}")
    problems: list[str] = []
    collected: dict[tuple[int, int], _Collected] = {}
    for request in requests:
        found = _find_problem(request, size, num_frames)
        if found is not None:
            problems.append(f"{request.where}: {found}")
            continue
        for object_id, mask in _objects(request, size, problems).items():
            key = (request.frame, object_id)
            place = collected.setdefault(key, _Collected(request.where))
            place.masks += [] if mask is None else [mask]
            place.boxes += [] if request.box is None else [request.box]
            place.points += request.points
            place.labels += request.labels
    for (frame, object_id), said in collected.items():
        problem = _find_conflict(said)
        if problem is not None:
            problems.append(f"object {object_id} on frame {frame} ({said.where}): {problem}")
    raise_all(problems)
    return [_to_prompt(*key, said) for key, said in sorted(collected.items(), key=lambda x: x[0])]


def _find_problem(request: PromptRequest, size: tuple[int, int], num_frames: int) -> str | None:
    """Return what is wrong with a request by itself."""
    height, width = size
    if not 0 <= request.frame < num_frames:
        last = num_frames - 1
        return f"frame {request.frame} is not in the video, which has the frames 0 to {last}"
    if request.object_id is not None and not 0 < request.object_id < IGNORE:
        return f"object {request.object_id}: expected a number from 1 to {IGNORE - 1}"
    for x, y in request.points:
        if not (0 <= x < width and 0 <= y < height):
            return (
                f"the point ({x:g}, {y:g}) is outside the frame, which is {width} x {height} "
                "(width x height) pixels"
            )
    return None if request.box is None else _find_box_problem(request.box, height, width)


def _find_box_problem(box: tuple[float, ...], height: int, width: int) -> str | None:
    x0, y0, x1, y1 = box
    if x1 <= x0 or y1 <= y0:
        return (
            f"the box from ({x0:g}, {y0:g}) to ({x1:g}, {y1:g}) is empty; expected the left top "
            "and the right bottom corner (not width and height)"
        )
    if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
        return (
            f"the box from ({x0:g}, {y0:g}) to ({x1:g}, {y1:g}) leaves the frame, which is "
            f"{width} x {height} (width x height) pixels"
        )
    return None


def _objects(
    request: PromptRequest, size: tuple[int, int], problems: list[str]
) -> Mapping[int, Bool[Tensor, "height width"] | None]:
    """Return the objects that a request speaks of, with their masks if it has any."""
    if request.mask is not None:
        try:
            return read_prompt_masks(request.mask, request.object_id, size)
        except (OSError, ValueError) as error:
            problems.append(f"{request.where}: {error}")
            return {}
    assert request.object_id is not None
    return {request.object_id: None}


def _find_conflict(said: _Collected) -> str | None:
    """Return what is wrong with all that was said of an object on a frame."""
    if len(said.masks) > 1 or (said.masks and (said.boxes or said.points)):
        return "a mask and something else; expected one mask, or a box and points"
    if len(said.boxes) > 1:
        return f"{len(said.boxes)} boxes; expected one (number objects 1:..., 2:...)"
    if not said.masks and not said.boxes and 1 not in said.labels:
        return "no point on the object; expected a positive point or a box beside negative points"
    return None


def _to_prompt(frame: int, object_id: int, said: _Collected) -> ObjectPrompt:
    if said.masks:
        return ObjectPrompt(object_id, frame, mask=said.masks[0].to(torch.uint8))
    return ObjectPrompt(
        object_id,
        frame,
        box=said.boxes[0] if said.boxes else None,
        points=said.points or None,
        labels=said.labels or None,
    )
