"""Draw training clips as strips: the targets of each frame, and the prompts that were drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8
from torch import Tensor

from sam2_video.colours import object_colour
from sam2_video.structures import IGNORE, OBJECT, Corrections, Prompt
from sam2_video.visualise.labels import Label, place_labels
from sam2_video.visualise.paint import (
    fit_frame,
    fit_masks,
    paint_ignored,
    paint_masks,
    wash_out,
)
from sam2_video.visualise.prompted import paint_prompt
from sam2_video.visualise.sheet import (
    Cell,
    LegendItem,
    cell_size,
    draw_sheet,
    label_size,
    text_size,
)

LONGEST_NAME = 16
NO_LABEL_COLOUR = (85, 85, 85)


@dataclass(frozen=True)
class ShownClip:
    """A training clip as the model sees it.

    `rows[i]` is the row of object i among all objects of its video: the colour is the video's,
    whichever objects the clip holds. The objects of `prompts` are rows of `targets`; so are those
    of `corrections`, whose clicks will depend on what is predicted.
    """

    video_id: str
    frame_names: tuple[str, ...]
    frames: UInt8[Tensor, "frames 3 height width"]
    targets: UInt8[Tensor, "objects frames height width"]
    labelled: Bool[Tensor, "objects frames"]
    object_ids: tuple[int, ...]
    rows: tuple[int, ...]
    prompts: tuple[Prompt, ...]
    corrections: tuple[Corrections, ...] = ()


def draw_clips(clips: Sequence[ShownClip], title: str) -> UInt8[np.ndarray, "height width 3"]:
    """Return a picture of clips of one size and length: a row a clip, a column a frame."""
    num_frames, _, height, width = clips[0].frames.shape
    size = cell_size((height, width), num_frames)
    text = label_size(text_size(size[1], num_frames))
    return draw_sheet(
        title,
        _legend(),
        [(f"frame {number + 1} of the clip", "") for number in range(num_frames)],
        [_row_title(clip) for clip in clips],
        [[_cell(clip, frame, size, text) for frame in range(num_frames)] for clip in clips],
    )


def _row_title(clip: ShownClip) -> str:
    name = clip.video_id
    if len(name) > LONGEST_NAME:
        name = f"…{name[1 - LONGEST_NAME :]}"
    count = len(clip.object_ids)
    # a line break in the name of a video would be one in the picture
    return f"{' '.join(name.split())}\n{count} object{'s' if count > 1 else ''}"


def _cell(clip: ShownClip, frame: int, size: tuple[int, int], text: int) -> Cell:
    picture = fit_frame(clip.frames[frame].cpu(), size)
    name = clip.frame_names[frame]
    if not clip.labelled[:, frame].any():
        label = Label("no label", size[1] // 2, size[0] // 2, NO_LABEL_COLOUR)
        return Cell(wash_out(picture), name, (label,))
    targets = clip.targets[:, frame].cpu()
    masks = np.zeros((max(clip.rows) + 1, *size), dtype=bool)
    masks[list(clip.rows)] = fit_masks(targets == OBJECT, size)
    given = [p for p in clip.prompts if p.frame == frame]
    # what is given as a mask is no target: nothing is left to predict
    is_given = [clip.rows[o] for p in given if p.masks is not None for o in p.objects]
    filled = masks.copy()
    filled[is_given] = False
    picture = paint_masks(picture, filled)
    ignored = (targets == IGNORE).any(dim=0, keepdim=True)
    if ignored.any():
        picture = paint_ignored(picture, fit_masks(ignored, size)[0])
    height, width = clip.targets.shape[2:]
    for prompt in given:
        rows = [clip.rows[o] for o in prompt.objects]
        picture = paint_prompt(picture, prompt, rows, (height, width))
    names = [""] * len(masks)
    if len(clip.object_ids) > 1:
        for row, object_id in zip(clip.rows, clip.object_ids, strict=True):
            names[row] = str(object_id)
    return Cell(picture, _caption(clip, frame), place_labels(masks, names, text))


def _caption(clip: ShownClip, frame: int) -> str:
    """Return the frame's name, how it is prompted and by how many clicks corrected."""
    kinds = ", ".join(_kind(prompt) for prompt in clip.prompts if prompt.frame == frame)
    said = [f"{kinds} prompt"] if kinds else []
    counts = {c.places.shape[1] for c in clip.corrections if c.frame == frame}
    said += [f"{count} correction{'s' if count > 1 else ''}" for count in counts]
    return f"{clip.frame_names[frame]}: {' + '.join(said)}" if said else clip.frame_names[frame]


def _kind(prompt: Prompt) -> str:
    if prompt.masks is not None:
        return "mask"
    assert prompt.labels is not None
    return "box" if bool((prompt.labels > 1).any()) else "click"


def _legend() -> list[LegendItem]:
    """Return what the marks stand for, in the first object's colour."""
    ground = np.full((32, 32, 3), 150, dtype=np.uint8)
    mask = np.zeros((1, 32, 32), dtype=bool)
    mask[:, 5:27, 5:27] = True
    click = ground.copy()
    click[:] = object_colour(0)
    click[14:18, 6:26] = click[6:26, 14:18] = 0
    return [
        LegendItem(paint_masks(ground, mask), "target"),
        LegendItem(paint_masks(ground, mask, is_filled=False), "given as a mask, or a box"),
        LegendItem(click, "click"),
    ]
