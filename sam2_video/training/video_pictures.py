"""Which validation videos are shown, and what their strips and movies hold."""

import math
from collections.abc import Mapping
from fractions import Fraction

import numpy as np
from jaxtyping import UInt8

from sam2_video.config import PromptConfig
from sam2_video.data.video import Video
from sam2_video.structures import OBJECT, PromptKind
from sam2_video.training.kept_masks import KeptMasks, spread, unpack
from sam2_video.visualise import (
    Panel,
    Prediction,
    draw_comparison,
    draw_panels,
    encode_mp4,
    fit_frame,
    fit_masks,
    paint_masks,
    read_shown_frame,
)

NUM_COLUMNS = 5
PANEL_SIZE = (360, 480)
SHORTEST_MOVIE, FASTEST = 5, 10  # seconds, frames a second
TITLES = {
    "worst": "helped least",
    "median": "in the middle",
    "best": "helped most",
    "only": "the validation video",
}


def rank(zero_shot: Mapping[str, KeptMasks], now: Mapping[str, KeptMasks]) -> dict[str, str]:
    """Return the videos of the worst, the median and the best change of J&F, fewer of few videos.

    Without a score before training, of J&F itself. Videos that cannot be scored have no rank.
    """
    changes = {
        video_id: kept.mean - (zero_shot[video_id].mean if video_id in zero_shot else 0.0)
        for video_id, kept in now.items()
    }
    scored = {video_id: change for video_id, change in changes.items() if math.isfinite(change)}
    ranked = sorted(scored, key=lambda video_id: (scored[video_id], video_id))
    if not ranked:
        return {}
    if len(ranked) == 1:
        return {"only": ranked[0]}
    if len(ranked) == 2:
        return {"worst": ranked[0], "best": ranked[1]}
    return {"worst": ranked[0], "median": ranked[len(ranked) // 2], "best": ranked[-1]}


def draw_strip(
    place: str, video: Video, shown: Mapping[str, KeptMasks], prompts: PromptConfig
) -> UInt8[np.ndarray, "height width 3"]:
    """Return some frames of a video: prompt, truth, and the masks of each model.

    Args:
        place: among the ranked videos.
        video: to read frames and truth from.
        shown: by the title of their row.
        prompts: of the run.
    """
    common = _common_frames(shown)
    frames = [common[i] for i in spread(len(common), NUM_COLUMNS)]
    scores = " → ".join(f"{kept.mean:.3f}" for kept in shown.values())
    title = f"{TITLES[place]}: {video.video_id}, J&F {scores}"
    if prompts.validation_clicks:
        title += f", prompts corrected by up to {prompts.validation_clicks} clicks"
    return draw_comparison(
        [read_shown_frame(video, frame, PANEL_SIZE) for frame in frames],
        video.object_ids,
        {name: video.first_appearance(name) for name in video.object_ids},
        {name: Prediction(unpack(kept), kept.similarities) for name, kept in shown.items()},
        title,
        PromptKind(prompts.validation),
        prompts.num_points,
    )


def make_movie(video: Video, shown: Mapping[str, KeptMasks]) -> bytes:
    """Return an mp4 of truth and the masks of each model side by side."""
    frames = _common_frames(shown)
    masks = {name: unpack(kept) for name, kept in shown.items()}
    height, width = video.size
    scale = min(PANEL_SIZE[0] / height, PANEL_SIZE[1] / width)
    size = max(round(height * scale), 1), max(round(width * scale), 1)

    def draw(index: int) -> UInt8[np.ndarray, "height width 3"]:
        frame = read_shown_frame(video, index, size)
        picture = fit_frame(frame.pixels, size)
        truth = "truth" if frame.labelled else "no label"
        panels = [Panel(truth, paint_masks(picture, fit_masks(frame.truth == OBJECT, size)))]
        for name, kept in shown.items():
            painted = paint_masks(picture, fit_masks(masks[name][index], size))
            score = kept.similarities.get(index)
            title = " ".join(name.split()) + ("" if score is None else f": J {score:.2f}")
            panels.append(Panel(title, painted))
        return draw_panels(panels, f"{video.video_id}, frame {index} of {video.num_frames}")

    rate = min(Fraction(len(frames), SHORTEST_MOVIE), Fraction(FASTEST))
    return encode_mp4((draw(index) for index in frames), rate)


def _common_frames(shown: Mapping[str, KeptMasks]) -> list[int]:
    """Return the frames of which all masks are kept: a resumed run may have chosen others."""
    return sorted(set.intersection(*(set(kept.frames) for kept in shown.values())))
