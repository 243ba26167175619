"""Which frames of a run become pictures, and when they are drawn."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sam2_video.data.video import Video
from sam2_video.evaluation import VideoScore
from sam2_video.structures import PromptKind
from sam2_video.visualise import draw_comparison, draw_curves

NUM_VIDEOS, NUM_FRAMES = 3, 5
BEFORE = Path("pictures") / ".before.npz"


def choose_frames(videos: Sequence[Video]) -> dict[str, tuple[int, ...]]:
    """Return frames, evenly spaced from the first, of the first few videos."""
    return {
        video.video_id: tuple(
            np.linspace(0, video.num_frames - 1, min(NUM_FRAMES, video.num_frames))
            .round()
            .astype(int)
            .tolist()
        )
        for video in videos[:NUM_VIDEOS]
    }


def keep_before(output_dir: Path, scores: Sequence[VideoScore]) -> None:
    """Keep the masks of the untrained weights for the pictures, also over a resume."""
    arrays = {
        f"{score.video_id}|{frame}": masks.numpy()
        for score in scores
        for frame, masks in score.masks.items()
    }
    if arrays:
        path = output_dir / BEFORE
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_stem(f"{path.stem}.part")
        # the name of an array is that of its video, which may be anything
        np.savez_compressed(part, **arrays)  # pyright: ignore[reportArgumentType]
        part.replace(path)


def _read_before(output_dir: Path, video_id: str) -> dict[int, Tensor] | None:
    path = output_dir / BEFORE
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as arrays:
        found = {
            int(name.rsplit("|", 1)[1]): torch.from_numpy(arrays[name])
            for name in arrays.files
            if name.rsplit("|", 1)[0] == video_id
        }
    return found or None


def draw(
    output_dir: Path,
    rows: Sequence[dict[str, float]],
    videos: Sequence[Video],
    scores: Sequence[VideoScore],
    prompt_kind: PromptKind,
    num_points: int,
) -> None:
    """Draw the curves, and prompt and truth against masks before and after training."""
    folder = output_dir / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    if rows:
        draw_curves(folder / "curves.png", rows)
    by_id = {video.video_id: video for video in videos}
    for score in scores:
        if not score.masks:
            continue
        video = by_id[score.video_id]
        draw_comparison(
            folder / f"{_as_file_name(video.video_id)}.png",
            video,
            {name: video.first_appearance(name) for name in video.object_ids},
            sorted(score.masks),
            before=_read_before(output_dir, score.video_id),
            after=score.masks,
            similarities=None,
            title=f"{video.video_id}: J {score.mean:.2f}",
            prompt_kind=prompt_kind,
            num_points=num_points,
        )


def _as_file_name(video_id: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in video_id)
