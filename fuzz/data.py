"""Small files from which mutation starts, made by code."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIDE = 8
RLE = {"size": [SIDE, SIDE], "counts": [9, 5, 50]}
POLYGONS = [[1, 1, 5, 1, 5, 6.5, 1, 6]]
COMPRESSED = {"size": [SIDE, SIDE], "counts": "952b1"}


def picture(kind: str = "PNG", mode: str = "RGB", **options: Any) -> bytes:
    """Return an image file of a few pixels."""
    values = np.arange(SIDE * SIDE * 3, dtype=np.uint8).reshape(SIDE, SIDE, 3)
    image = Image.fromarray(values)
    if mode == "I;16":
        image = Image.fromarray(values[..., 0].astype(np.uint16) * 200)
    elif mode != "RGB":
        image = image.convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def write_frames(folder: Path, count: int = 3) -> None:
    """Write the frames that annotations speak of."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number:05d}.png").write_bytes(picture())


def as_json(content: object) -> bytes:
    """Return JSON as a file holds it."""
    return json.dumps(content).encode()


def read_all(videos: Any) -> None:
    """Read whatever a data set holds of masks, as training and the check would."""
    for video in videos:
        for index in range(min(video.num_frames, 5)):
            if video.is_labelled(index):
                video.visible_areas(index)
                video.read_masks(index, video.visible_objects(index)[:8])
            video.read_frame(index)
