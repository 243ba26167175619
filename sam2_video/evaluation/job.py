"""One video's evaluation, in whichever process: its scores, or why there are none."""

from dataclasses import dataclass
from pathlib import Path

import torch

from sam2_video.data.video import Video
from sam2_video.evaluation.folder import MASKS, FinishedVideo
from sam2_video.evaluation.score import evaluate_video
from sam2_video.evaluation.settings import EvaluationSettings
from sam2_video.inference import load_model
from sam2_video.model.sam2 import SAM2Model
from sam2_video.scoring import LeftOut
from sam2_video.structures import PromptKind

_AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
_UNSEEN = "objects that are visible on no frame that counts, so without a score"
Outcome = FinishedVideo | LeftOut


@dataclass(frozen=True)
class Job:
    """What a process needs to know to evaluate any video."""

    checkpoint: str
    config: str | None
    settings: EvaluationSettings
    out: Path | None
    max_objects: int

    def load(self, device: torch.device | str) -> SAM2Model:
        """Load the model."""
        return load_model(self.checkpoint, self.config, self.settings.image_size, device)


def evaluate_one(model: SAM2Model, video: Video, job: Job) -> Outcome:
    """Evaluate a video; one that cannot be is left out, with a line that says why."""
    settings = job.settings
    writes = settings.has_masks and job.out is not None
    dtype = _AUTOCAST.get(settings.precision, torch.float32)
    try:
        if not video.has_objects:
            reason = "no object is visible on any labelled frame (0 is background, 255 is ignore)"
            return LeftOut(video.video_id, reason)
        with torch.autocast(model.device.type, dtype, enabled=dtype != torch.float32):
            score = evaluate_video(
                model,
                video,
                PromptKind(settings.prompt),
                settings.num_points,
                clicks=settings.clicks,
                layout=None if settings.layout == "auto" else settings.layout,
                count_first_and_last=settings.count_first_and_last,
                write_to=job.out / MASKS if writes and job.out is not None else None,
                max_objects=job.max_objects,
            )
    except (OSError, ValueError) as error:
        return LeftOut(video.video_id, str(error))
    except torch.OutOfMemoryError:
        size = f"{len(video.object_ids)} objects of {video.size[1]} x {video.size[0]} pixels"
        return LeftOut(video.video_id, f"{size}: out of memory; lower --max-objects")
    if not score.summaries:
        return LeftOut(video.video_id, _nothing_to_score(video))
    scored = {summary.object_id for summary in score.summaries}
    unseen = [str(name) for name in video.object_ids if name not in scored]
    notes = (f"video {video.video_id}: {_UNSEEN}: {', '.join(unseen)}",) if unseen else ()
    return FinishedVideo(video.video_id, score.summaries, score.num_tracked, score.seconds, notes)


def _nothing_to_score(video: Video) -> str:
    return (
        f"no object is visible on a frame that counts: {len(video.labelled_frames)} annotated "
        "frames, of which the first and the last do not count; use --count-first-and-last"
    )
