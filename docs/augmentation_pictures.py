"""Draw the pictures of docs/augmentation.md from one generated clip.

`python -m docs.augmentation_pictures docs/images` writes them anew.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sam2_video.augmentation import PRESETS
from sam2_video.config import AugmentationConfig, PromptConfig
from sam2_video.data.collate import collate_clips
from sam2_video.data.synthetic import render_video
from sam2_video.pixels import PIXEL_MEAN, PIXEL_STD
from sam2_video.structures import OBJECT, Clip, ModelClips
from sam2_video.training.objective import draw_lesson
from sam2_video.visualise import fit_frame, fit_masks, paint_masks
from sam2_video.visualise.sheet import Cell, cell_size, draw_sheet

SIZE = (256, 448)
NUM_FRAMES = 5
VIDEO_SEED, CLIP_SEED = 8, 6
NUM_DRAWS = 10
WIDTH, QUALITY = 1100, 70
"""Of the JPEG files, which stay below 150 kB."""


def make_clip() -> Clip:
    """Return a generated clip of two objects."""
    video = render_video(VIDEO_SEED, 2 * NUM_FRAMES, SIZE, 2, (0.06, 0.12))
    masks = video.masks[:, ::2]
    return Clip(
        video_id="a",
        frame_names=tuple(f"{frame}.jpg" for frame in range(NUM_FRAMES)),
        frames=video.frames[::2],
        masks=masks,
        labelled=torch.ones(masks.shape[:2], dtype=torch.bool),
        object_ids=(1, 2),
        prompt_frames=tuple((masks == OBJECT).flatten(2).any(-1).int().argmax(1).tolist()),
        seed=CLIP_SEED,
    )


def augment(clip: Clip, preset: str, seed: int) -> ModelClips:
    """Return the clip as a training step would see it under a preset."""
    settings = AugmentationConfig(preset=preset)  # pyright: ignore[reportArgumentType]
    batch = collate_clips([replace(clip, seed=seed)])
    return draw_lesson(batch, SIZE, PromptConfig(), settings).clips


def cell(clips: ModelClips, frame: int) -> Cell:
    """Return one frame with its targets."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (PIXEL_MEAN, PIXEL_STD))
    colours = ((clips.pixels[0, frame] * std + mean) * 255).round().clamp(0, 255).byte()
    size = cell_size(SIZE, NUM_FRAMES)
    masks = fit_masks(clips.targets[:, frame] == OBJECT, size)
    return Cell(np.asarray(paint_masks(fit_frame(colours, size), masks)))


def write(
    path: Path, title: str, columns: Sequence[str], rows: Sequence[tuple[str, list[Cell]]]
) -> None:
    """Write a sheet as a small JPEG."""
    names, cells = zip(*rows, strict=True)
    picture = Image.fromarray(draw_sheet(title, [], [(name, "") for name in columns], names, cells))
    height = round(picture.height * WIDTH / picture.width)
    picture.resize((WIDTH, height), Image.Resampling.LANCZOS).save(path, quality=QUALITY)


def main(folder: Path) -> None:
    """Write both pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    clip = make_clip()
    rows = []
    for preset in PRESETS:
        clips = augment(clip, preset, CLIP_SEED)
        rows.append((preset, [cell(clips, frame) for frame in range(NUM_FRAMES)]))
    write(
        folder / "augmentation-presets.jpg",
        "one clip and the same random numbers under each preset; its objects in colour",
        [f"frame {frame + 1}" for frame in range(NUM_FRAMES)],
        rows,
    )
    rows = []
    for preset in ("light", "official", "strong"):
        drawn = [cell(augment(clip, preset, seed), 0) for seed in range(NUM_DRAWS)]
        rows.append((preset, drawn[:NUM_FRAMES]))
        rows.append(("", drawn[NUM_FRAMES:]))
    write(
        folder / "augmentation-draws.jpg",
        f"the first frame of the clip under {NUM_DRAWS} draws each",
        [""] * NUM_FRAMES,
        rows,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
