"""Evaluate a checkpoint on a data set: every video, resumable, in one process or several."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from loguru import logger

from sam2_video.configuration import nearest
from sam2_video.data.frames import natural_key
from sam2_video.data.layout import open_dataset
from sam2_video.data.video import Video
from sam2_video.evaluation.folder import (
    CSV,
    JSON,
    TABLE,
    FinishedVideo,
    keep_video,
    open_folder,
    read_video,
)
from sam2_video.evaluation.job import Job, Outcome
from sam2_video.evaluation.processes import (
    Group,
    evaluate_here,
    evaluate_in_processes,
    join_group,
    share_out,
)
from sam2_video.evaluation.settings import EvaluationSettings, Precision, Prompting
from sam2_video.files import write_json, write_text
from sam2_video.inference import Accelerator, MaskLayout, choose_device, fingerprint, load_model
from sam2_video.inference.mask_files import file_name
from sam2_video.metrics import RegionAndBoundary, mean_scores
from sam2_video.model.sam2 import SAM2Model
from sam2_video.model.stream import OBJECTS_AT_ONCE
from sam2_video.scoring import LeftOut, ScoreReport, VideoScores, table, write_csv


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation came to.

    `report` has the scores, overall, by video and by object, and the videos that were left out.
    `num_frames` frames took `seconds`, from reading to scoring, on all processes together.
    """

    report: ScoreReport
    settings: EvaluationSettings
    num_frames: int
    seconds: float
    out: Path | None

    def as_dict(self) -> dict[str, Any]:
        """Return the content of the JSON file; see docs/evaluation.md."""
        speed = self.num_frames / self.seconds if self.seconds else None
        facts = {"frames": self.num_frames, "seconds": self.seconds, "frames_per_second": speed}
        return {**self.report.as_dict(), "settings": self.settings.as_dict(), **facts}


def evaluate(
    checkpoint: str | os.PathLike[str],
    data_path: str | os.PathLike[str],
    *,
    masks_path: str | os.PathLike[str] | None = None,
    follow_links: bool = False,
    config: str | os.PathLike[str] | None = None,
    image_size: Sequence[int] | None = None,
    videos: Sequence[str] = (),
    prompt: Prompting = "mask",
    num_points: int = 1,
    clicks: int = 0,
    layout: MaskLayout | Literal["auto"] = "auto",
    count_first_and_last: bool = False,
    out: str | os.PathLike[str] | None = None,
    save_masks: bool = False,
    max_objects: int = OBJECTS_AT_ONCE,
    processes: int = 1,
    accelerator: Accelerator = "auto",
    precision: Precision = "32-true",
) -> Evaluation:
    """Track every video of a data set from prompts where objects first appear, and score it.

    A video that cannot be scored is left out, with a line that says why: see
    `report.left_out`. Under torchrun its processes share the videos, and each returns the whole.

    Args:
        checkpoint: ours, Meta's, or what transformers loads.
        data_path: a folder of videos, a DAVIS tree, or a COCO JSON file.
        masks_path: masks in a parallel tree, or the images' folder of a COCO file.
        follow_links: read files outside the data that links in it lead to.
        config: an architecture's name or Meta's YAML; None = as the checkpoint tells.
        image_size: height, width of the model's input; None = as the checkpoint tells.
        videos: names of videos, or text files that list them, such as DAVIS' ImageSets; none = all.
        prompt: what is shown of each object where it first appears.
        num_points: of point prompts.
        clicks: corrections of each box or point before tracking goes on, each on the centre of the
            largest error that is left.
        layout: `davis` = one label a pixel, `objects` = each by itself, `auto` = as the truth.
        count_first_and_last: count each object's first and last annotated frame too.
        out: folder of the scores, in which an evaluation that was broken off goes on.
        save_masks: write the masks of every frame to `out`/masks.
        max_objects: how many objects run together: less takes less memory.
        processes: local processes on the CPU that share the videos; above 1 a script needs the
            usual `if __name__ == "__main__":`.
        accelerator: what to compute on.
        precision: of the network.

    Raises:
        FileNotFoundError: a file or folder is missing.
        ValueError: a setting, the checkpoint or the whole data set cannot be used.
    """
    folder = None if out is None else Path(out).expanduser()
    _check(processes, num_points, max_objects, has_folder=folder is not None, saves=save_masks)
    _check_clicks(clicks, prompt)
    problems: dict[str, str] = {}
    opened = open_dataset(
        os.fspath(data_path), _path(masks_path), problems=problems, follow_links=follow_links
    )
    chosen = _choose(opened, problems, videos)
    with join_group() as group:
        device = choose_device(accelerator, int(os.environ.get("LOCAL_RANK", "0")))
        if processes > 1 and (device.type != "cpu" or group.size > 1):
            raise ValueError(
                f"processes: got {processes}; expected 1 on a GPU or under torchrun: use "
                "--accelerator cpu, or torchrun --nproc-per-node N --no-python sam2-video evaluate"
            )
        size = None if image_size is None else (image_size[0], image_size[1])
        model = load_model(os.fspath(checkpoint), _path(config), size, device)
        settings = EvaluationSettings(
            weights=fingerprint(model),
            architecture=model.architecture.name,
            image_size=model.image_size,
            data=str(Path(data_path).expanduser().absolute()),
            masks=None if masks_path is None else str(Path(masks_path).expanduser().absolute()),
            prompt=prompt,
            num_points=num_points,
            clicks=clicks,
            layout=layout,
            count_first_and_last=count_first_and_last,
            has_masks=save_masks,
            precision=precision,
        )
        job = Job(os.fspath(checkpoint), _path(config), settings, folder, max_objects)
        outcomes = _evaluate_all(model, chosen, job, group, processes)
        outcomes += [LeftOut(name, reason) for name, reason in problems.items()]
        result = _conclude(outcomes, job)
        if group.rank == 0 and folder is not None:
            write_json(folder / JSON, result.as_dict())
            write_csv(result.report, folder / CSV)
            write_text(folder / TABLE, table(result.report) + "\n")
    return result


def _evaluate_all(
    model: SAM2Model, videos: Sequence[Video], job: Job, group: Group, processes: int
) -> list[Outcome]:
    """Return the outcomes of all videos, also of those that were finished before."""
    problem, finished = None, []
    if group.rank == 0 and job.out is not None:
        try:
            open_folder(job.out, job.settings)
            found = (read_video(job.out, video.video_id) for video in videos)
            finished = [done for done in found if done is not None]
        except (OSError, ValueError) as error:
            problem = str(error)
    problem, finished = group.tell((problem, finished))
    if problem is not None:
        raise ValueError(problem)
    if finished:
        logger.info(f"{job.out}: {len(finished)} of {len(videos)} videos are finished: kept")
    names = {done.video for done in finished}
    left = [video for video in videos if video.video_id not in names]
    if processes > 1:
        outcomes = evaluate_in_processes(left, job, processes)
    else:
        share = left if group.size == 1 else share_out(left, group.rank, group.size)
        outcomes = evaluate_here(model, share, job)
    own = list(_keep(outcomes, job, len(left)))
    return [*finished, *(outcome for share in group.gather(own) for outcome in share)]


def _keep(outcomes: Iterable[Outcome], job: Job, num_videos: int) -> Iterator[Outcome]:
    """Pass outcomes on; finished videos are written down, and each is a line of the log."""
    for number, outcome in enumerate(outcomes, start=1):
        if isinstance(outcome, LeftOut):
            logger.warning(f"left out: video {outcome.video}: {outcome.reason}")
        else:
            if job.out is not None:
                keep_video(job.out, outcome)
            speed = outcome.num_tracked / max(outcome.seconds, 1e-9)
            score = mean_scores(outcome.objects).jf
            logger.info(
                f"{number}/{num_videos} {outcome.video}: J&F {score:.3f}, {speed:.1f} frames/s"
            )
        yield outcome


def _conclude(outcomes: Sequence[Outcome], job: Job) -> Evaluation:
    """Return the report over all outcomes, in the natural order of the videos."""
    ordered = sorted(outcomes, key=lambda outcome: natural_key(outcome.video))
    done = [outcome for outcome in ordered if isinstance(outcome, FinishedVideo)]
    metric = RegionAndBoundary()
    for video in done:
        for summary in video.objects:
            metric.update(summary)
    report = ScoreReport(
        protocol="vos",
        first_and_last_count=job.settings.count_first_and_last,
        truth=job.settings.data,
        predictions=job.checkpoint,
        overall=metric.scores(),
        videos=tuple(VideoScores(video.video, video.objects) for video in done),
        left_out=tuple(outcome for outcome in ordered if isinstance(outcome, LeftOut)),
        notes=tuple(note for video in done for note in video.notes),
    )
    num_frames = sum(video.num_tracked for video in done)
    seconds = sum(video.seconds for video in done)
    return Evaluation(report, job.settings, num_frames, seconds, job.out)


def _check(
    processes: int, num_points: int, max_objects: int, *, has_folder: bool, saves: bool
) -> None:
    numbers = {"processes": processes, "num_points": num_points, "max_objects": max_objects}
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name}: got {number}; expected 1 or more")
    if saves and not has_folder:
        raise ValueError("save_masks: there is no folder to write to; give --out")


def _check_clicks(clicks: int, prompt: Prompting) -> None:
    if clicks < 0:
        raise ValueError(f"clicks: got {clicks}; expected 0 or more")
    if clicks and prompt == "mask":
        raise ValueError(
            f"clicks: got {clicks} with mask prompts; expected 0, because a given mask is true and "
            "there is nothing to correct; give --prompt box or --prompt point"
        )


def _path(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)


def _choose(opened: Sequence[Video], problems: dict[str, str], names: Sequence[str]) -> list[Video]:
    """Return the videos of these names; of `problems` only what was asked for is left.

    Raises:
        ValueError: there is no such video, or two would have files of one name.
    """
    wanted = [name for entry in names for name in _listed(entry)]
    by_name = {video.video_id: video for video in opened}
    for name in wanted:
        if name not in by_name and name not in problems:
            close = nearest(name, [*by_name, *problems])
            hint = f"perhaps you meant {close}; " if close else ""
            raise ValueError(f"videos: no video {name!r}; {hint}there are {len(by_name)}")
    for name in [name for name in problems if wanted and name not in wanted]:
        del problems[name]
    chosen = [by_name[name] for name in by_name if not wanted or name in wanted]
    files = [file_name(video.video_id) for video in chosen]
    if len(set(files)) < len(files):
        raise ValueError("data_path: two videos would be written to files of one name; rename one")
    return chosen


def _listed(entry: str) -> list[str]:
    """Return the names that a text file lists, a line each; any other text is a name itself."""
    path = Path(entry)
    if not path.is_file():
        return [entry]
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
