"""The second way through the video: a movie and a contact sheet of what was tracked."""

from pathlib import Path

import numpy as np
from einops import rearrange
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from sam2_video.data.footage import Footage
from sam2_video.files import whole
from sam2_video.prediction.coco import image_file
from sam2_video.prediction.drawing import Shot, choose_shots, draw_frame, draw_sheet, shot_size
from sam2_video.prediction.folder import OVERLAY, SHEET, writing
from sam2_video.prediction.masks import stored_masks
from sam2_video.prediction.progress import Bars
from sam2_video.prediction.store import MaskStore
from sam2_video.prediction.summary import Prediction
from sam2_video.visualise import even_size, open_movie

LONGEST_SIDE = 1920
"""Of the movie: a larger video is shown smaller; its masks keep their size."""
JPEG_QUALITY = 95


def draw_prediction(
    footage: Footage,
    done: Prediction,
    store: MaskStore,
    frame_rate: float,
    bars: Bars,
    *,
    save_frames: bool,
) -> None:
    """Write the movie and the contact sheet, and the frames if they are asked for.

    Raises:
        ValueError: a frame cannot be read, or a file cannot be written.
    """
    num_frames, out = len(footage.frames), done.out
    chosen = choose_shots(num_frames)
    cell = shot_size(footage.size, len(chosen))
    size = even_size(footage.size, LONGEST_SIDE)
    shots: list[Shot] = []
    with (
        bars.show("drawing", num_frames) as advance,
        writing(out),
        whole(out / OVERLAY) as part,
        open_movie(part, frame_rate, size) as movie,
    ):
        for index in range(num_frames):
            frame = footage.frames[index]
            masks = stored_masks(store, index, done.object_ids, footage.size)
            movie.add(draw_frame(frame, masks, done.object_ids, size))
            if index in chosen:
                caption = f"frame {index} · {index / frame_rate:.2f} s"
                shots.append(Shot(draw_frame(frame, masks, done.object_ids, cell), caption))
            if save_frames:
                _save_frame(out / image_file(footage, index), frame)
            advance()
    sheet = draw_sheet(_title(footage, done), done.object_ids, shots)
    with writing(out), whole(out / SHEET) as part:
        Image.fromarray(sheet).save(part)


def _title(footage: Footage, done: Prediction) -> str:
    height, width = footage.size
    return (
        f"{footage.name}: {done.num_frames} frames of {width} x {height}, "
        f"{done.num_tracked} of them tracked"
    )


def _save_frame(path: Path, frame: UInt8[Tensor, "3 height width"]) -> None:
    pixels = np.ascontiguousarray(rearrange(frame.numpy(), "c h w -> h w c"))
    with whole(path) as part:
        Image.fromarray(pixels).save(part, quality=JPEG_QUALITY, subsampling=0)
