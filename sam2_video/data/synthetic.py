"""Generate seeded videos (and data sets) of shapes that move, deform, cross, leave, return."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float32, UInt8
from PIL import Image
from torch import Tensor

from sam2_video.data.synthetic_shapes import (
    FIXED_POINT_BITS,
    TEXTURE_SIZE,
    draw_background,
    draw_outlines,
    draw_palettes,
    draw_paths,
    draw_swing,
    draw_texture,
)
from sam2_video.masks import encode_rle
from sam2_video.structures import IGNORE

TEXTURE_DENSITY = 28.0  # texture pixels for one unit of a shape whose area is 1
AREA_RANGE = (0.03, 0.13)  # of the image, for each object on its first frame


@dataclass(frozen=True)
class SyntheticVideo:
    """RGB frames and what is visible of every object: 1 where no nearer object hides it."""

    frames: UInt8[Tensor, "frames 3 height width"]
    masks: UInt8[Tensor, "objects frames height width"]


@dataclass(frozen=True)
class _Sprite:
    """One moving shape: its outline in pixels and the way from a pixel to its texture."""

    outlines: Float32[np.ndarray, "frames points 2"]
    to_texture: Float32[np.ndarray, "frames 2 3"]
    texture: Float32[np.ndarray, "rows columns 3"]
    label: int


def _sprites(
    rng: np.random.Generator,
    num_frames: int,
    size: tuple[int, int],
    labels: list[int],
    palettes: np.ndarray,
    area_range: tuple[float, float],
) -> list[_Sprite]:
    """Draw one moving shape for each label, farthest first."""
    largest = area_range[1] * min(1.0, 5 / len(labels))
    smallest = min(area_range[0], largest)
    areas = np.exp(rng.uniform(np.log(smallest), np.log(largest), len(labels)))
    shapes = [draw_outlines(rng, num_frames) for _ in labels]
    extent = np.array([np.linalg.norm(shape, axis=-1).max() for shape in shapes])
    paths = draw_paths(rng, num_frames, extent * np.sqrt(areas))
    sprites = []
    for label, area, shape, path, palette in zip(
        labels, areas, shapes, paths, palettes, strict=True
    ):
        scale = np.sqrt(area * size[0] * size[1]) * np.exp(draw_swing(rng, num_frames, 0.12))
        turn = rng.uniform(-0.06, 0.06) * np.arange(num_frames) + draw_swing(rng, num_frames, 0.3)
        cos, sin = np.cos(turn), np.sin(turn)
        centre = path * (size[1], size[0])
        rotation = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], -2)
        outlines = scale[:, None, None] * (shape @ rotation) + centre[:, None]
        linear = rotation * (TEXTURE_DENSITY / scale)[:, None, None]
        offset = TEXTURE_SIZE / 2 - np.einsum("tij,tj->ti", linear, centre)
        to_texture = np.concatenate([linear, offset[..., None]], axis=-1)
        sprites.append(
            _Sprite(
                outlines.astype(np.float32),
                to_texture.astype(np.float32),
                draw_texture(rng, palette),
                label,
            )
        )
    return sprites


def _paint(sprite: _Sprite, frame: int, canvas: np.ndarray, labels: np.ndarray) -> None:
    """Paint a shape over what is farther away, in place; edges are smooth, labels are not."""
    outline = sprite.outlines[frame]
    height, width = labels.shape
    left, top = np.maximum(np.floor(outline.min(axis=0)).astype(int) - 1, 0).tolist()
    right, bottom = (np.ceil(outline.max(axis=0)).astype(int) + 2).tolist()
    columns, rows = min(right, width) - left, min(bottom, height) - top
    if columns <= 0 or rows <= 0:
        return
    fine = np.zeros((2 * rows, 2 * columns), np.uint8)
    # a pixel's centre has whole coordinates, in the image and in its double-size copy alike
    points = (2 * (outline - (left, top)) + 0.5) * 2**FIXED_POINT_BITS
    cv2.fillPoly(fine, [points.round().astype(np.int32)], (255,), cv2.LINE_8, FIXED_POINT_BITS)
    cover = cv2.resize(fine, (columns, rows), interpolation=cv2.INTER_AREA)
    matrix = sprite.to_texture[frame].copy()
    matrix[:, 2] += matrix[:, :2] @ np.array([left, top], np.float32)
    surface = cv2.warpAffine(
        sprite.texture,
        matrix,
        (columns, rows),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    region = canvas[top : top + rows, left : left + columns]
    region += (cover * np.float32(1 / 255))[..., None] * (surface - region)
    labels[top : top + rows, left : left + columns][cover >= 128] = sprite.label


def render_video(
    seed: int,
    num_frames: int,
    size: tuple[int, int],
    num_objects: int,
    area_range: tuple[float, float] = AREA_RANGE,
) -> SyntheticVideo:
    """Render a video of `size` (height, width); a pure function of its arguments.

    At least one object is in view on frame 0. Half of the videos hold one more moving shape that
    is no object, which only memory of the prompt can tell from the objects.
    """
    if num_frames < 1 or not 1 <= num_objects < IGNORE or min(size) < 16:
        raise ValueError(
            "a synthetic video needs num_frames >= 1, 1 to 254 objects and sides >= 16 px, "
            f"got num_frames={num_frames}, num_objects={num_objects}, size={size}"
        )
    rng = np.random.default_rng(seed)
    labels = [int(label) for label in rng.permutation(num_objects) + 1]
    if rng.random() < 0.5:
        labels.insert(int(rng.integers(num_objects)), 0)
    palettes = draw_palettes(rng, len(labels) + 1)
    margin = min(size) // 8
    background = draw_background(rng, size, palettes[0], margin)
    sprites = _sprites(rng, num_frames, size, labels, palettes[1:], area_range)
    camera = margin + np.stack([draw_swing(rng, num_frames, 0.8 * margin) for _ in range(2)])
    gains = 1 + draw_swing(rng, num_frames, 0.1)
    height, width = size
    grain = rng.standard_normal((height + 32, width + 32, 3), np.float32)
    grain *= np.float32(rng.uniform(1, 5))
    grain_shifts = rng.integers(0, 33, (num_frames, 2))
    frames = np.empty((num_frames, height, width, 3), np.uint8)
    label_maps = np.zeros((num_frames, height, width), np.uint8)
    for frame in range(num_frames):
        matrix = np.array([[1, 0, camera[0, frame]], [0, 1, camera[1, frame]]], np.float32)
        canvas = cv2.warpAffine(
            background, matrix, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        )
        for sprite in sprites:
            _paint(sprite, frame, canvas, label_maps[frame])
        row, column = grain_shifts[frame]
        canvas *= np.float32(gains[frame])
        canvas += grain[row : row + height, column : column + width]
        frames[frame] = np.clip(canvas, 0, 255, out=canvas)
    masks = label_maps[None] == np.arange(1, num_objects + 1, dtype=np.uint8)[:, None, None, None]
    return SyntheticVideo(
        frames=torch.from_numpy(frames.transpose(0, 3, 1, 2).copy()),
        masks=torch.from_numpy(masks.astype(np.uint8)),
    )


def write_dataset(
    folder: Path,
    seed: int,
    num_videos: int,
    num_frames: int,
    size: tuple[int, int],
    num_objects: tuple[int, int],
    area_range: tuple[float, float] = AREA_RANGE,
) -> None:
    """Write rendered videos as a video directory and, of the same clips, a COCO file.

    The folder gets `videos/VIDEO/FRAME.jpg`, `masks/VIDEO/FRAME.png` (palette; value = object)
    and `coco.json`, all of it or, if the writing is cut short, nothing.

    Args:
        folder: must not exist yet.
        seed: the data set is a pure function of it and of the numbers below.
        num_videos: how many videos.
        num_frames: frames of each video.
        size: height, width.
        num_objects: smallest and largest number of objects of a video.
        area_range: smallest and largest area of a shape, as shares of the image.
    """
    if folder.exists():
        raise FileExistsError(
            f"{folder} exists: a generated data set needs a new folder; delete it or name another"
        )
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    coco: dict[str, list[dict[str, Any]]] = {
        "videos": [],
        "images": [],
        "annotations": [],
        "categories": [{"id": 1, "name": "shape", "supercategory": "object"}],
    }
    for number, sequence in enumerate(np.random.SeedSequence(seed).spawn(num_videos)):
        video_seed, draw = sequence.generate_state(2).tolist()
        smallest, largest = num_objects
        count = smallest + draw % (largest - smallest + 1)
        video = render_video(video_seed, num_frames, size, count, area_range)
        _write_images(partial, f"video_{number:03d}", video)
        _describe(coco, f"video_{number:03d}", video)
    (partial / "coco.json").write_text(json.dumps(coco), encoding="utf-8")
    partial.rename(folder)


def _write_images(folder: Path, name: str, video: SyntheticVideo) -> None:
    """Write one video's frames and masks into the two parallel trees."""
    frames_dir, masks_dir = folder / "videos" / name, folder / "masks" / name
    frames_dir.mkdir(parents=True)
    masks_dir.mkdir(parents=True)
    values = torch.arange(1, len(video.masks) + 1, dtype=torch.uint8)
    label_maps = (video.masks * values[:, None, None, None]).amax(dim=0)
    colours = np.random.default_rng(0).integers(64, 256, (len(video.masks), 3))
    palette = [0, 0, 0, *colours.flatten().tolist()]
    for index, (frame, label_map) in enumerate(zip(video.frames, label_maps, strict=True)):
        picture = Image.fromarray(frame.permute(1, 2, 0).numpy())
        picture.save(frames_dir / f"frame_{index:03d}.jpg", quality=95)
        mask = Image.fromarray(label_map.numpy()).convert("P")
        mask.putpalette(palette)
        mask.save(masks_dir / f"frame_{index:03d}.png")


def _describe(coco: dict[str, list[dict[str, Any]]], name: str, video: SyntheticVideo) -> None:
    """Add one video to a COCO description; an absent object has no annotation on its frame."""
    video_id = len(coco["videos"]) + 1
    num_objects, num_frames, height, width = video.masks.shape
    frame_size = {"width": width, "height": height}
    coco["videos"].append({"id": video_id, "name": name, "length": num_frames, **frame_size})
    for frame in range(num_frames):
        image_id = len(coco["images"]) + 1
        file_name = f"videos/{name}/frame_{frame:03d}.jpg"
        place = {"video_id": video_id, "order_in_video": frame}
        coco["images"].append({"id": image_id, "file_name": file_name, **frame_size, **place})
        for index in range(num_objects):
            mask = video.masks[index, frame]
            if not mask.any():
                continue
            rows, columns = mask.nonzero().T
            left, top = int(columns.min()), int(rows.min())
            coco["annotations"].append(
                {
                    "id": len(coco["annotations"]) + 1,
                    "image_id": image_id,
                    "video_id": video_id,
                    "category_id": 1,
                    "instance_id": index + 1,
                    "track_id": video_id * 1000 + index + 1,
                    "segmentation": encode_rle(mask.bool()),
                    "area": int(mask.sum()),
                    "bbox": [left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1],
                    "iscrowd": 0,
                }
            )
