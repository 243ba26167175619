"""Score a folder of predicted masks: videos one after another, frames in several processes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2

from sam2_video.configuration import nearest
from sam2_video.data.frames import has_images
from sam2_video.metrics import RegionAndBoundary
from sam2_video.scoring.folders import find_videos
from sam2_video.scoring.frames import FrameResult, FrameTask, try_frame
from sam2_video.scoring.outcome import summarise_video
from sam2_video.scoring.plan import Missing, plan_video
from sam2_video.scoring.protocol import PROTOCOLS, Protocol, ProtocolName
from sam2_video.scoring.report import LeftOut, ScoreReport, VideoScores

FrameScorer = Callable[[Sequence[FrameTask]], Iterable[FrameResult | str]]


@dataclass(frozen=True)
class _Job:
    """What holds for every video."""

    rules: Protocol
    count_first_and_last: bool
    missing: Missing

    @property
    def counts_all_frames(self) -> bool:
        return self.count_first_and_last or not self.rules.leaves_out_first_and_last


def score(
    truth: str | Path,
    predictions: str | Path,
    protocol: ProtocolName = "vos",
    *,
    count_first_and_last: bool = False,
    missing: Missing = "refuse",
    num_processes: int = 1,
) -> ScoreReport:
    """Score folders of masks: label maps `VIDEO/*.png`, or `VIDEO/OBJECT/*.png`, on each side.

    A video that cannot be scored is left out, with a line that says why; see
    `ScoreReport.left_out`.

    Args:
        truth: Folder of true masks; its files say which frames are annotated.
        predictions: Folder of predicted masks of the same names, at the truth's size.
        protocol: Whose numbers to equal: `vos` (vos-benchmark), `sav` (Meta's sav_evaluator),
            `davis` or `davis-unsupervised` (davis2017-evaluation).
        count_first_and_last: Count the first and the last annotated frame too.
        missing: A prediction that is not there leaves its video out, or counts as empty; with
            `skip`, videos without any predictions are passed over.
        num_processes: How many processes read and compare; above 1 a script needs the usual
            `if __name__ == "__main__":`.

    Raises:
        FileNotFoundError: A folder does not exist.
        ValueError: A folder holds no videos, or there is no such protocol.
    """
    job = _Job(_rules(protocol), count_first_and_last, missing)
    truth, predictions = Path(truth).expanduser(), Path(predictions).expanduser()
    folders, notes = _pair_videos(truth, predictions, missing)
    outcomes: list[VideoScores | LeftOut] = []
    with _frame_scorer(num_processes) as score_frames:
        for video, (true_dir, predicted_dir) in folders.items():
            outcome, remarks = _score_video(video, true_dir, predicted_dir, job, score_frames)
            outcomes.append(outcome)
            notes += remarks
    videos = [outcome for outcome in outcomes if isinstance(outcome, VideoScores)]
    metric = RegionAndBoundary()
    for video in videos:
        for summary in video.objects:
            metric.update(summary)
    return ScoreReport(
        protocol=protocol,
        first_and_last_count=job.counts_all_frames,
        truth=str(truth),
        predictions=str(predictions),
        overall=metric.scores(),
        videos=tuple(videos),
        left_out=tuple(outcome for outcome in outcomes if isinstance(outcome, LeftOut)),
        notes=tuple(notes),
    )


def _rules(protocol: str) -> Protocol:
    if protocol not in PROTOCOLS:
        close = nearest(protocol, PROTOCOLS)
        hint = f"perhaps you meant {close}; " if close else ""
        raise ValueError(f"protocol {protocol!r}: {hint}expected one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[protocol]


def _pair_videos(
    truth: Path, predictions: Path, missing: Missing
) -> tuple[dict[str, tuple[Path, Path]], list[str]]:
    """Return both folders of each true video, and lines on videos that only one side has."""
    true_videos = find_videos(truth, "truth")
    predicted_videos = find_videos(predictions, "predictions")
    if has_images(truth) and has_images(predictions):
        # two folders of masks are one video, whatever they are called
        return {truth.name: (truth, predictions)}, []
    level = next(iter(predicted_videos.values())).parent
    notes = []
    if extra := [video for video in predicted_videos if video not in true_videos]:
        notes.append(f"{_count(extra)} in {level} have no truth: ignored")
    absent = [video for video in true_videos if video not in predicted_videos]
    if absent and missing == "skip":
        notes.append(f"{_count(absent)} in {truth} have no predictions: passed over")
        true_videos = {video: true_videos[video] for video in true_videos if video not in absent}
    return {video: (folder, level / video) for video, folder in true_videos.items()}, notes


def _count(videos: Sequence[str]) -> str:
    shown = ", ".join(videos[:3]) + (", ..." if len(videos) > 3 else "")
    return f"{len(videos)} videos ({shown})"


def _score_video(
    video: str, true_dir: Path, predicted_dir: Path, job: _Job, score_frames: FrameScorer
) -> tuple[VideoScores | LeftOut, list[str]]:
    try:
        plan = plan_video(
            video,
            true_dir,
            predicted_dir,
            job.rules,
            counts_all_frames=job.counts_all_frames,
            missing=job.missing,
        )
        results: dict[str, FrameResult] = {}
        outcomes = score_frames(list(plan.tasks.values()))
        for frame, outcome in zip(plan.tasks, outcomes, strict=True):
            if isinstance(outcome, str):
                return LeftOut(video, outcome), []
            results[frame] = outcome
        objects, remarks = summarise_video(plan, results, job.rules)
    except (OSError, ValueError) as error:
        return LeftOut(video, str(error)), []
    return VideoScores(video, objects), [*plan.notes, *remarks]


@contextmanager
def _frame_scorer(num_processes: int) -> Iterator[FrameScorer]:
    """Yield a function that scores frames in order: here, or in several processes."""
    if num_processes < 1:
        raise ValueError(f"num_processes: got {num_processes}, expected 1 or more")
    if num_processes == 1:
        yield lambda tasks: map(try_frame, tasks)
        return
    # a forked process may inherit locks that OpenCV's or torch's threads hold
    context = get_context("spawn")
    # OpenCV's own threads would fight with the other processes
    with ProcessPoolExecutor(
        num_processes, context, initializer=cv2.setNumThreads, initargs=(1,)
    ) as pool:
        yield lambda tasks: pool.map(try_frame, tasks, chunksize=4)
