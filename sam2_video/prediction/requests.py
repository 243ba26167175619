"""Prompts as a user gives them on a command line or in Python, before the video is looked at."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from sam2_video.masks import Rle
from sam2_video.model.stream import ObjectPrompt

_NUMBER = r"-?\d+(?:\.\d+)?"
_COORDINATES = re.compile(rf"(?:(\d+):)?({_NUMBER}(?:,{_NUMBER})*)(?:@(\d+))?")
_MASK = re.compile(r"(?:(\d+)=)?(.+)")


@dataclass(frozen=True)
class PromptRequest:
    """One thing said of an object on a frame, in pixels of the frame; `where` names it in errors.

    A mask without an object is a label map: each of its values is an object.
    """

    where: str
    frame: int = 0
    object_id: int | None = None
    box: tuple[float, ...] | None = None
    points: tuple[tuple[float, ...], ...] = ()
    labels: tuple[int, ...] = ()
    mask: Path | Rle | Tensor | None = None


def from_prompt(prompt: ObjectPrompt) -> PromptRequest:
    """Return a prompt of the Python interface as what a user asks for."""
    return PromptRequest(
        f"prompt of object {prompt.object_id} on frame {prompt.frame}",
        prompt.frame,
        prompt.object_id,
        None if prompt.box is None else tuple(prompt.box),
        tuple(tuple(point) for point in prompt.points or ()),
        tuple(prompt.labels or ()),
        prompt.mask,
    )


def read_flags(
    masks: Sequence[str], boxes: Sequence[str], points: Sequence[str], negatives: Sequence[str]
) -> list[PromptRequest]:
    """Read the values of --mask, --box, --point and --negative-point.

    >>> read_flags([], ["2:10,20,30,40@7"], [], [])[0].box
    (10.0, 20.0, 30.0, 40.0)

    Raises:
        ValueError: all values that cannot be read, each on a line.
    """
    requests: list[PromptRequest] = []
    problems: list[str] = []
    for text in masks:
        match = _MASK.fullmatch(text)
        frame, path = match.groups() if match else (None, text)
        where = f"--mask {text}"
        requests.append(PromptRequest(where, int(frame or 0), mask=Path(path).expanduser()))
    for flag, texts, count in (("box", boxes, 4), ("point", points, 2), ("negative", negatives, 2)):
        for text in texts:
            found = _read_coordinates(flag, text, count)
            if isinstance(found, str):
                problems.append(found)
            else:
                requests.append(found)
    raise_all(problems)
    return requests


def _read_coordinates(flag: str, text: str, count: int) -> PromptRequest | str:
    """Return what a value of --box, --point or --negative-point says, or what is wrong with it."""
    where = f"--{flag}{'-point' if flag == 'negative' else ''} {text}"
    match = _COORDINATES.fullmatch(text.replace(" ", ""))
    numbers = tuple(float(number) for number in match[2].split(",")) if match else ()
    if match is None or len(numbers) != count:
        form = "X0,Y0,X1,Y1" if count == 4 else "X,Y"
        return (
            f"{where}: expected OBJECT:{form}, or OBJECT:{form}@FRAME for another frame than "
            "the first"
        )
    object_id, frame = int(match[1] or 1), int(match[3] or 0)
    if count == 4:
        return PromptRequest(where, frame, object_id, box=numbers)
    label = int(flag == "point")
    return PromptRequest(where, frame, object_id, points=(numbers,), labels=(label,))


def raise_all(problems: Sequence[str]) -> None:
    """Raise one ValueError of all problems with prompts, if there are any."""
    if len(problems) == 1:
        raise ValueError(problems[0])
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise ValueError(f"{len(problems)} prompts cannot be used:\n{lines}")
