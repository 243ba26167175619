"""Write `report.html`: one file that needs nothing else, of a run's folder alone."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sam2_video.configuration import KEYS
from sam2_video.files import write_text
from sam2_video.report.embedded import embed
from sam2_video.report.figures import make_charts
from sam2_video.report.run_folder import METRIC_NAMES, RunFolder, VideoScores, read_run_folder
from sam2_video.report.verdict import judge

REPORT = "report.html"


@dataclass(frozen=True)
class Setting:
    """One key of the configuration."""

    path: str
    value: str
    default: str
    comment: str


@dataclass(frozen=True)
class VideoRow:
    """One line of the table of videos; `others` are further metrics of the tuned weights."""

    name: str
    num_objects: int
    before: float | None
    after: float | None
    others: tuple[float | None, ...]

    @property
    def change(self) -> float | None:
        """Return what training added."""
        if self.before is None or self.after is None:
            return None
        return self.after - self.before


def write_report(run_dir: Path) -> Path:
    """Write the report of a run and return its path.

    Args:
        run_dir: the folder of a run, finished or not.

    Raises:
        FileNotFoundError: there is no run.
    """
    run = read_run_folder(run_dir)
    path = run_dir / REPORT
    write_text(path, _render(run))
    return path


def _render(run: RunFolder) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        # names of videos come from other people's disks
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pictures = {path.stem: path for path in run.pictures if path.suffix == ".png"}
    movies = {path.stem: path for path in run.pictures if path.suffix == ".mp4"}
    shown, is_some_left_out = embed(pictures, movies)
    settings = _settings(run.config)
    verdict = judge(run)
    return environment.get_template("report.html.j2").render(
        name=run.path.resolve().name,
        verdict=verdict,
        change=verdict.change,
        facts=_facts(run.summary),
        charts=make_charts(run),
        videos=_video_rows(run),
        after_name=_after_name(run),
        metric=METRIC_NAMES.get(run.metric or "J"),
        other_metrics=[METRIC_NAMES[key] for key in _other_metrics(run)],
        validation=[entry for entry in shown if entry.name.startswith("validation")],
        other_pictures=[entry for entry in shown if not entry.name.startswith("validation")],
        is_some_left_out=is_some_left_out,
        changed=[asdict(s) for s in settings if s.value != s.default],
        settings=[asdict(s) for s in settings],
        machine=run.summary.get("machine", {}),
        warnings=run.warnings,
    )


def _settings(config: Mapping[str, Any]) -> list[Setting]:
    return [
        Setting(path, _spell(value), _spell(KEYS[path].default), KEYS[path].comment)
        for path, value in config.items()
    ]


def _spell(value: Any) -> str:  # noqa: ANN401 (any value of a setting)
    """Return a value as YAML has it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{', '.join(map(_spell, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return speed, memory and size of the run, as far as they are known."""
    found: list[tuple[str, str]] = []

    def add(name: str, key: str, form: str) -> None:
        if summary.get(key) is not None:
            found.append((name, form.format(summary[key])))

    if summary.get("training_seconds") is not None:
        found.append(("training time", str(timedelta(seconds=round(summary["training_seconds"])))))
    add("speed", "clips_per_second", "{:.2f} clips/s")
    add("peak memory", "peak_memory_gb", "{:.2f} GB")
    add("steps", "steps", "{:,}")
    add("epochs", "epochs", "{:,}")
    if summary.get("parameters"):
        learning, total = summary["trainable_parameters"], summary["parameters"]
        found.append(("learning", f"{learning / 1e6:.2f} of {total / 1e6:.2f} M parameters"))
    add("precision", "precision", "{}")
    add("devices", "devices", "{}")
    return found


def _other_metrics(run: RunFolder) -> list[str]:
    """Return what is measured beside the metric that decides."""
    after = run.scores.get("best")
    videos = () if after is None else after.videos
    return [
        key
        for key in METRIC_NAMES
        if key != (run.metric or "J") and any(key in video.values for video in videos)
    ]


def _after_name(run: RunFolder) -> str:
    best = run.scores.get("best")
    return "tuned" if best is not None and best.step != 0 else "last"


def _video_rows(run: RunFolder) -> list[VideoRow]:
    """Return the table of videos: before, and the best or, where none was better, the last."""
    after = run.scores.get("best" if _after_name(run) == "tuned" else "last")
    if after is None:
        return []
    metric = run.metric or "J"
    zero_shot = run.scores.get("zero_shot")
    before: dict[str, VideoScores] = {}
    if zero_shot is not None:
        before = {video.name: video for video in zero_shot.videos}
    return [
        VideoRow(
            video.name,
            len(video.objects),
            before[video.name].values.get(metric) if video.name in before else None,
            video.values.get(metric),
            tuple(video.values.get(key) for key in _other_metrics(run)),
        )
        for video in after.videos
    ]
