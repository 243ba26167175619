"""Prompts in a JSON file: its schema, and all that is wrong with one at once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sam2_video.masks import Rle, check_segmentation, segmentation_to_rle
from sam2_video.prediction.requests import PromptRequest, raise_all

_MISTAKES = {
    "extra_forbidden": "no such key",
    "missing": "is missing",
    "union_tag_invalid": "neither a file nor RLE",
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _RunLengths(_Strict):
    size: tuple[int, int]
    counts: str | list[int]


class PromptEntry(_Strict):
    """One prompt: a mask, or a box, points or both."""

    object_id: Annotated[int, Field(ge=1)] | None = None
    frame: Annotated[int, Field(ge=0)] = 0
    box: tuple[float, float, float, float] | None = None
    points: list[tuple[float, float]] | None = None
    labels: list[Literal[0, 1]] | None = None
    mask: str | _RunLengths | None = None

    def find_problem(self) -> str | None:
        """Return what is wrong with the keys together."""
        has_clicks = self.box is not None or bool(self.points)
        if (self.mask is not None) == has_clicks:
            got = "a mask beside a box or points" if has_clicks else "no mask, box or points"
            return f"got {got}; expected a mask, or a box, points or both"
        if self.object_id is None and not isinstance(self.mask, str):
            return "`object_id` is missing; expected a number from 1 on"
        if self.labels is not None and len(self.labels) != len(self.points or ()):
            return (
                f"got {len(self.points or ())} points and {len(self.labels)} labels; expected "
                "a label for each point: 1 on the object, 0 beside it"
            )
        return None


class PromptFile(_Strict):
    """The content of a file of prompts."""

    prompts: list[PromptEntry]


def read_prompt_file(path: Path) -> list[PromptRequest]:
    """Read a JSON file of prompts; its masks are found relative to the file's folder.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: all that is wrong with it, each on a line.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of prompts")
    try:
        content = PromptFile.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise_all([f"{path}: {_describe(item)}" for item in error.errors(include_url=False)])
        raise
    requests, problems = [], []
    for number, entry in enumerate(content.prompts):
        where = f"{path}: prompts[{number}]"
        problem = entry.find_problem()
        if problem is None:
            requests.append(_to_request(where, path.parent, entry))
        else:
            problems.append(f"{where}: {problem}")
    raise_all(problems)
    return requests


def _describe(error: Mapping[str, Any]) -> str:
    """Return one of pydantic's errors as a line: the place as JSON spells it, and what is wrong."""
    if error["type"] == "json_invalid":
        return f"no valid JSON ({error['ctx']['error']})"
    # of a mask that is neither: pydantic names the class that it did not fit
    place = [part for part in error["loc"] if part not in ("str", "_RunLengths")]
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    message = _MISTAKES.get(error["type"], error["msg"][:1].lower() + error["msg"][1:])
    got = "" if error["type"] == "missing" else f", got {str(error['input'])[:60]!r}"
    return f"{name.lstrip('.') or 'the file'}: {message}{got}"


def _to_request(where: str, folder: Path, entry: PromptEntry) -> PromptRequest:
    mask: Path | Rle | None = None
    if isinstance(entry.mask, str):
        mask = folder / entry.mask
    elif entry.mask is not None:
        runs = entry.mask.model_dump(mode="json")
        check_segmentation(runs, where)
        mask = segmentation_to_rle(runs, entry.mask.size, where)
    points = tuple(tuple(point) for point in entry.points or ())
    labels = tuple(entry.labels if entry.labels is not None else [1] * len(points))
    return PromptRequest(where, entry.frame, entry.object_id, entry.box, points, labels, mask)
