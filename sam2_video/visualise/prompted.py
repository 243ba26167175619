"""Draw a prompt on the frame on which it is given."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from sam2_video.prompts import BOX_CORNERS, PADDING, POSITIVE
from sam2_video.structures import Prompt
from sam2_video.visualise.paint import fit_masks, paint_box, paint_clicks, paint_masks


def paint_prompt(
    picture: UInt8[np.ndarray, "height width 3"],
    prompt: Prompt,
    rows: Sequence[int],
    prompt_size: tuple[int, int],
) -> UInt8[np.ndarray, "height width 3"]:
    """Return the picture with masks as outlines, boxes, and clicks: plus on the object, or minus.

    Args:
        picture: of the frame.
        prompt: of some objects.
        rows: of these objects among those of the video, which give their colours.
        prompt_size: height and width of the image that masks and points belong to.
    """
    height, width = picture.shape[:2]
    if prompt.masks is not None:
        outlines = np.zeros((max(rows) + 1, height, width), dtype=bool)
        outlines[list(rows)] = fit_masks(prompt.masks.cpu() > 0, (height, width))
        return paint_masks(picture, outlines, is_filled=False)
    assert prompt.points is not None
    assert prompt.labels is not None
    # a pixel's centre has whole coordinates at either size
    scale = np.array([width / prompt_size[1], height / prompt_size[0]])
    for row, points, labels in zip(
        rows, prompt.points.cpu().numpy(), prompt.labels.cpu().numpy(), strict=True
    ):
        places = (points + 0.5) * scale - 0.5
        is_corner = np.isin(labels, BOX_CORNERS)
        if is_corner.any():
            picture = paint_box(picture, places[is_corner], row)
        is_click = ~is_corner & (labels != PADDING)
        picture = paint_clicks(picture, places[is_click], labels[is_click] == POSITIVE, row)
    return picture
