"""Paste the objects of a second clip over a clip, as occluders and further targets."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float32, UInt8
from torch import Tensor

from sam2_video.data.sampling import ClipPlan, ClipSettings, branches, draw_clip
from sam2_video.data.video import Video
from sam2_video.masks import resize_masks
from sam2_video.structures import BACKGROUND, OBJECT, Clip

EDGE = 0.004
"""Standard deviation of the blur of the pasted edges, as a share of the frame's shorter side."""
LARGEST_SHIFT = 0.25
"""How far pasted objects are moved from where they are in their own video, as a share of a side."""
MOST_TRIES = 4
"""Videos of which a clip is drawn before a clip is left without pasted objects."""


@dataclass(frozen=True)
class Donor:
    """Whose objects are pasted: the video's place in its set, and the clip of it."""

    video: int
    plan: ClipPlan


def draw_donor(
    videos: Sequence[Video],
    own: int,
    settings: ClipSettings,
    sequence: np.random.SeedSequence,
    progress: float,
) -> Donor | None:
    """Draw whether, and which, objects of another video are pasted over a clip of `videos[own]`.

    The second clip is as long as the first and labelled throughout: an object that may be there
    and is not known cannot be cut out. Where `MOST_TRIES` videos give no such clip, none is
    pasted. One to all of its chosen objects are taken, each number equally likely.
    """
    choice, *draws = branches(sequence, 0, 1 + MOST_TRIES)
    rng = np.random.default_rng(choice)
    if len(videos) < 2 or rng.random() >= settings.paste_probability:
        return None
    if settings.still_images == "single":
        settings = replace(settings, still_images="repeat")
    others = rng.choice(len(videos) - 1, min(MOST_TRIES, len(videos) - 1), replace=False)
    for other, draw in zip(others.tolist(), draws, strict=False):
        place = other + (other >= own)
        video = videos[place]
        plan = draw_clip(video, settings, draw, progress)
        if _is_known(video, plan):
            count = int(rng.integers(1, len(plan.object_ids) + 1))
            chosen = sorted(rng.choice(len(plan.object_ids), count, replace=False).tolist())
            ids = tuple(plan.object_ids[i] for i in chosen)
            return Donor(place, replace(plan, object_ids=ids))
    return None


def _is_known(video: Video, plan: ClipPlan) -> bool:
    return all(video.is_labelled(frame, name) for frame in plan.frames for name in plan.object_ids)


def paste_objects(clip: Clip, donor: Clip, max_objects: int, rng: np.random.Generator) -> Clip:
    """Return a clip over which the objects of another of the same length are pasted.

    The other clip is resized to this one's size, and its objects are moved by one offset. Frames
    are blended over blurred edges; masks are cut hard: what is hidden is no longer visible, and no
    longer to be ignored, for it is known. Pixels that the other clip ignores are not pasted.
    Pasted objects are numbered -1, -2, ...; of all that are visible anywhere, `max_objects` stay
    targets, each equally likely.
    """
    offset = _draw_offset(donor, (clip.frames.shape[2], clip.frames.shape[3]), rng)
    pasted = _place(donor, clip, offset)
    covered = (pasted == OBJECT).any(0)
    masks = torch.cat([clip.masks.masked_fill(covered, BACKGROUND), pasted])
    labelled = torch.cat(
        [clip.labelled, torch.ones_like(clip.labelled[:1]).expand(len(pasted), -1)]
    )
    names = (*clip.object_ids, *range(-1, -1 - len(pasted), -1))
    visible = (masks == OBJECT).flatten(2).any(-1)
    rows = visible.any(1).nonzero().flatten()
    if len(rows) > max_objects:
        rows = rows[sorted(rng.choice(len(rows), max_objects, replace=False).tolist())]
    return replace(
        clip,
        frames=_blend(clip.frames, donor.frames, covered, offset),
        masks=masks[rows],
        labelled=labelled[rows],
        object_ids=tuple(names[row] for row in rows.tolist()),
        prompt_frames=tuple(visible[rows].int().argmax(1).tolist()),
    )


def _draw_offset(donor: Clip, size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
    """Return how many pixels objects move down and right: never off an edge that cuts them."""
    shown = (donor.masks == OBJECT).any(0).any(0)
    offset = []
    for axis, side in enumerate(size):
        touched = shown.any(1 - axis)
        bounds = np.array([-LARGEST_SHIFT * side, LARGEST_SHIFT * side])
        draw = rng.uniform(*(bounds * (not touched[-1], not touched[0])))
        offset.append(round(draw))
    return offset[0], offset[1]


def _place(
    donor: Clip, clip: Clip, offset: tuple[int, int]
) -> UInt8[Tensor, "objects frames height width"]:
    """Return a clip's objects at the size of another's masks, moved by pixels of its frames."""
    height, width = clip.masks.shape[2:]
    objects = resize_masks((donor.masks == OBJECT).to(torch.uint8), (height, width))
    down = round(offset[0] * height / clip.frames.shape[2])
    right = round(offset[1] * width / clip.frames.shape[3])
    placed = torch.zeros_like(objects)
    placed[..., _into(down, height), _into(right, width)] = objects[
        ..., _into(-down, height), _into(-right, width)
    ]
    return placed


def _into(shift: int, length: int) -> slice:
    """Return where what is moved by a number of pixels arrives."""
    return slice(max(shift, 0), min(length + shift, length))


def _blend(
    frames: UInt8[Tensor, "frames 3 height width"],
    donor_frames: UInt8[Tensor, "frames 3 donor_height donor_width"],
    covered: Bool[Tensor, "frames mask_height mask_width"],
    offset: tuple[int, int],
) -> UInt8[Tensor, "frames 3 height width"]:
    """Blend the second frames over the first where they are covered."""
    height, width = frames.shape[2:]
    blended = frames.clone()
    for number, mask in enumerate(covered.to(torch.uint8).numpy()):
        alpha = _soften(mask, (height, width))
        rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
        if not len(rows):
            continue
        top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        layer = _resized(donor_frames[number], (height, width))
        # pixels beyond the second clip's frame, which only the blurred edge can meet: its last ones
        source_rows = np.clip(np.arange(top, bottom) - offset[0], 0, height - 1)
        source_columns = np.clip(np.arange(left, right) - offset[1], 0, width - 1)
        above = torch.from_numpy(layer[source_rows[:, None], source_columns])
        below = blended[number, :, top:bottom, left:right]
        share = torch.from_numpy(alpha[top:bottom, left:right])
        above = rearrange(above, "h w c -> c h w").float()
        blended[number, :, top:bottom, left:right] = (
            torch.lerp(below.float(), above, share).round().to(torch.uint8)
        )
    return blended


def _soften(
    mask: UInt8[np.ndarray, "mask_height mask_width"], size: tuple[int, int]
) -> Float32[np.ndarray, "height width"]:
    """Return a mask at the size of the frame, from 0 to 1, its edges blurred."""
    alpha = cv2.resize(mask.astype(np.float32), (size[1], size[0]), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(alpha, (0, 0), max(1.0, EDGE * min(size)))


def _resized(
    frame: UInt8[Tensor, "3 height width"], size: tuple[int, int]
) -> UInt8[np.ndarray, "new_height new_width 3"]:
    pixels = np.ascontiguousarray(rearrange(frame.numpy(), "c h w -> h w c"))
    if pixels.shape[:2] == size:
        return pixels
    is_smaller = pixels.shape[0] * pixels.shape[1] > size[0] * size[1]
    interpolation = cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR
    return cv2.resize(pixels, (size[1], size[0]), interpolation=interpolation)
