"""The scores of a run's validations, video by video, as JSON files in its folder."""

import json
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import distributed as dist

from sam2_video.data.video import Video
from sam2_video.evaluation import VideoScore
from sam2_video.files import write_json
from sam2_video.metrics import ObjectSummary, Scores
from sam2_video.training.callbacks import BestWeights
from sam2_video.training.folder import SCORES
from sam2_video.training.trainer import MemoryTuner
from sam2_video.training.values import has_several_processes

DISTANCES = (1, 2, 3, *(n for k in range(2, 20) for n in (2**k, 3 * 2 ** (k - 1))))
"""Where the classes of distances from the prompt begin: two an octave, named by their first."""

Content = TypeVar("Content")


def gather(own: Content) -> list[Content]:
    """Return what every process has, the same list in each."""
    if not has_several_processes():
        return [own]
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, own)
    return found


def describe_score(score: VideoScore, video: Video) -> dict[str, Any]:
    """Return the scores of one video as they stand in the file."""
    objects = []
    for summary in score.summaries:
        name = int(summary.object_id)
        start = video.first_appearance(name)
        by_distance: dict[int, list[float]] = {}
        for frame, value in score.frames[name].items():
            if not math.isnan(value):
                first = DISTANCES[bisect_right(DISTANCES, frame - start) - 1]
                by_distance.setdefault(first, []).append(value)
        fading = {str(first): fmean(values) for first, values in sorted(by_distance.items())}
        objects.append({"object": name, **_values(summary), "J_by_distance": fading})
    return {
        "video": score.video_id,
        "objects": objects,
        **_values(score.scores),
        "frames": score.num_frames,
        "seconds": score.seconds,
    }


def _values(scores: Scores | ObjectSummary) -> dict[str, float]:
    return {"J": scores.j, "F": scores.f, "JF": scores.jf}


def join_scores(videos: Sequence[Mapping[str, Any]], step: int) -> dict[str, Any]:
    """Return the content of a file: its scores are means over the objects of all videos."""
    objects = [entry for video in videos for entry in video["objects"]]
    means = {
        name: fmean(entry[name] for entry in objects) if objects else math.nan
        for name in ("J", "F", "JF")
    }
    return {"step": step, **means, "videos": list(videos)}


def read_fading(path: Path) -> dict[int, list[float]]:
    """Return J of each object by class of distance, of a file of scores; no file has none."""
    fading: dict[int, list[float]] = {}
    if path.is_file():
        for video in json.loads(path.read_text(encoding="utf-8"))["videos"]:
            for entry in video["objects"]:
                for first, value in entry["J_by_distance"].items():
                    fading.setdefault(int(first), []).append(value)
    return fading


class ScoreFiles(Callback):
    """Writes the scores of the validation before training, of the best and of the last.

    Those of the best are the averaged weights' where `best_model.pth` has these.
    """

    def __init__(self, output_dir: Path, videos: Sequence[Video], best: BestWeights) -> None:
        self.output_dir = output_dir
        self.videos = {video.video_id: video for video in videos}
        self.order = {video.video_id: place for place, video in enumerate(videos)}
        self.best = best

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write, after the best weights have been chosen."""
        assert isinstance(pl_module, MemoryTuner)
        step = trainer.global_step
        content = self._join(pl_module.scores, step)
        files = {"last": content}
        if step == 0:
            files["zero_shot"] = content
        if self.best.best_step == step:
            is_averaged = self.best.is_averaged
            files["best"] = self._join(pl_module.averaged_scores, step) if is_averaged else content
        if trainer.is_global_zero:
            for name, scores in files.items():
                write_json(self.output_dir / SCORES.format(name), scores)

    def _join(self, scores: Sequence[VideoScore], step: int) -> dict[str, Any]:
        own = [describe_score(score, self.videos[score.video_id]) for score in scores]
        joined = [entry for entries in gather(own) for entry in entries]
        joined.sort(key=lambda entry: self.order[entry["video"]])
        return join_scores(joined, step)
