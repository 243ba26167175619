"""What came of a run, in one sentence and three numbers."""

from dataclasses import dataclass

from sam2_video.report.run_folder import METRIC_NAMES, RunFolder

SMALL_GAIN = 0.005
"""Of a score: less than what another seed changes."""


@dataclass(frozen=True)
class Verdict:
    """Whether training helped; `kind` is good, bad or open."""

    kind: str
    headline: str
    details: tuple[str, ...]
    metric_name: str = ""
    zero_shot: float | None = None
    best: float | None = None
    best_step: int | None = None
    last: float | None = None

    @property
    def change(self) -> float | None:
        """Return what training added to the score of the weights that it started from."""
        if self.zero_shot is None or self.best is None:
            return None
        return self.best - self.zero_shot


def judge(run: RunFolder) -> Verdict:
    """Compare the best validation with the one before training."""
    details = [] if run.summary.get("is_finished") else [_interruption(run)]
    if run.metric is None:
        headline = "Nothing was validated, so whether training helped is not known."
        return Verdict("open", headline, tuple(details))
    curve = run.curve(f"val/{run.metric}")
    name = METRIC_NAMES[run.metric]
    best_step, best = max(run.better_curve(run.metric), key=lambda point: (point[1], -point[0]))
    zero_shot = curve[0][1] if curve[0][0] == 0 else None
    last_step, last = curve[-1]
    if zero_shot is None:
        kind, headline = (
            "open",
            f"The best {name} is {best:.3f}; none was measured before training.",
        )
    elif last_step == 0:
        kind, headline = "open", "Training has not been validated yet."
    elif best_step == 0:
        kind = "bad"
        headline = f"Training did not help: no validation was better than zero-shot ({best:.3f})."
        details.append("best_model.pth holds the weights from before training.")
    elif best - zero_shot < SMALL_GAIN:
        kind, headline = "open", f"Training hardly changed {name}: {best - zero_shot:+.3f}."
    else:
        kind, headline = "good", f"Training helped: {name} rose by {best - zero_shot:.3f}."
    if best_step > 0:
        is_averaged = run.summary.get("best_weights") == "averaged"
        kept = "averaged weights" if is_averaged else "weights"
        details.append(f"best_model.pth holds the {kept} of step {best_step:.0f}.")
    if zero_shot is not None and last < zero_shot and last_step > 0:
        details.append(f"The last weights ({last:.3f}) are worse than zero-shot.")
    details += _changed_videos(run, run.metric)
    return Verdict(kind, headline, tuple(details), name, zero_shot, best, int(best_step), last)


def _interruption(run: RunFolder) -> str:
    step = max((row["step"] for row in run.rows), default=0)
    return f"The run was interrupted at step {step:.0f}: go on with --resume {run.path}"


def _changed_videos(run: RunFolder, metric: str) -> list[str]:
    """Say how many videos became better and worse."""
    if not {"zero_shot", "best"} <= run.scores.keys() or not run.scores["best"].step:
        return []
    before = {video.name: video.values.get(metric) for video in run.scores["zero_shot"].videos}
    changes = []
    for video in run.scores["best"].videos:
        old, new = before.get(video.name), video.values.get(metric)
        if old is not None and new is not None:
            changes.append(new - old)
    better, worse = sum(x > 0 for x in changes), sum(x < 0 for x in changes)
    videos = "video" if len(changes) == 1 else "videos"
    return [f"Of {len(changes)} {videos}, {better} became better and {worse} worse."]
