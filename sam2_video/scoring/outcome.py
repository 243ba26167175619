"""Turn the scores of a video's frames into those of its objects, as a protocol says."""

from collections.abc import Iterable, Mapping

import numpy as np
from scipy.optimize import linear_sum_assignment

from sam2_video.data.frames import natural_key
from sam2_video.data.mask_folder import Key
from sam2_video.metrics.frame import NOTHING_TO_SEE, FrameScore
from sam2_video.metrics.objects import ObjectScores, ObjectSummary
from sam2_video.scoring.frames import LABEL_MAP, NONE, FrameResult, read_visible
from sam2_video.scoring.plan import VideoPlan, check_missing
from sam2_video.scoring.protocol import MAX_PROPOSALS, Protocol

Results = Mapping[str, FrameResult]


def summarise_video(
    plan: VideoPlan, results: Results, protocol: Protocol
) -> tuple[tuple[ObjectSummary, ...], list[str]]:
    """Return the scores of a video's objects, and lines on what was not scored as it is.

    Args:
        plan: of the video.
        results: of every frame of the plan.
        protocol: which objects and frames count.

    Raises:
        ValueError: The predictions hold what the protocol's evaluator refuses.
    """
    first = _visible_at_first(plan)
    if protocol.starts_when_seen:
        objects = _objects_seen(results)
        notes = _notes_on_others(plan, results, objects, first)
    else:
        objects = _objects_of_first_frame(plan, first)
        notes = []
        _refuse_others(plan, results, objects, protocol)
    if protocol.matches_proposals:
        chosen = _match(plan, results, objects)
    else:
        chosen = {key: key for key in objects}
        notes += _check_folders(plan, objects)
    summaries = []
    for key in _in_order(plan, objects):
        scores = ObjectScores(plan.truth.name_of(key), starts_when_seen=protocol.starts_when_seen)
        side = key if plan.truth.objects else LABEL_MAP
        is_scored = set(plan.scored[side])
        for index, frame in enumerate(plan.annotated[side]):
            if frame in is_scored:
                scores.add(index, _score_of(results[frame], chosen[key], key))
            elif index == 0:
                scores.note(index, is_visible=key in first)
        if (summary := scores.summary()) is not None:
            summaries.append(summary)
    return tuple(summaries), notes


def _check_folders(plan: VideoPlan, objects: set[Key]) -> list[str]:
    """Find missing masks where the truth is label maps and the prediction a folder an object."""
    if not (plan.truth.labels and plan.prediction.objects):
        return []
    expected = dict.fromkeys(_in_order(plan, objects), plan.scored[LABEL_MAP])
    return check_missing(plan.video, expected, plan.prediction, plan.missing)


def _score_of(result: FrameResult, prediction: Key, key: Key) -> FrameScore:
    # one that a frame does not list is empty there
    for pair in ((prediction, key), (NONE, key), (prediction, NONE)):
        if pair in result.scores:
            return result.scores[pair]
    return NOTHING_TO_SEE


def _in_order(plan: VideoPlan, objects: Iterable[Key]) -> list[Key]:
    return sorted(objects, key=lambda key: natural_key(plan.truth.name_of(key)))


def _visible_at_first(plan: VideoPlan) -> set[Key]:
    """Return the objects that are visible on their first annotated frame."""
    if plan.truth.labels:
        return read_visible({LABEL_MAP: next(iter(plan.truth.labels.values()))})
    return {
        key
        for key, files in plan.truth.objects.items()
        if read_visible({key: next(iter(files.values()))})
    }


def _objects_seen(results: Results) -> set[Key]:
    """Return the objects that the truth shows on a scored frame."""
    return {
        key
        for result in results.values()
        for (_, key), score in result.scores.items()
        if score.is_visible and key != NONE
    }


def _objects_of_first_frame(plan: VideoPlan, first: set[Key]) -> set[Key]:
    """Return what davis2017-evaluation calls the objects: 1 to the highest of the first frame."""
    if plan.truth.objects:
        return first
    highest = max((key for key in first if isinstance(key, int)), default=0)
    return set(range(1, highest + 1))


def _predicted(results: Results) -> set[Key]:
    return {key for result in results.values() for key in result.predicted}


def _notes_on_others(
    plan: VideoPlan, results: Results, objects: set[Key], first: set[Key]
) -> list[str]:
    notes = []
    known = objects | first | set(plan.truth.objects)
    if others := _predicted(results) - known:
        notes.append(
            f"video {plan.video}: predicted objects that the truth does not show: "
            f"{_names(plan, others)}: ignored"
        )
    if unseen := known - objects:
        notes.append(
            f"video {plan.video}: objects that are visible on no scored frame: "
            f"{_names(plan, unseen)}: not scored"
        )
    return notes


def _names(plan: VideoPlan, keys: set[Key]) -> str:
    names = [plan.truth.name_of(key) for key in _in_order(plan, keys)]
    return ", ".join(names[:5]) + (f", ... ({len(names)})" if len(names) > 5 else "")


def _refuse_others(
    plan: VideoPlan, results: Results, objects: set[Key], protocol: Protocol
) -> None:
    predicted = _predicted(results)
    if not objects:
        raise ValueError(
            f"{plan.truth.path}: no object on the first annotated frame, and {protocol.evaluator} "
            "scores only those; use --protocol vos"
        )
    if protocol.matches_proposals:
        others = {key for key in predicted if not isinstance(key, int) or key > MAX_PROPOSALS}
        expected = f"at most the labels 1 to {MAX_PROPOSALS}"
    else:
        others = predicted - objects
        expected = f"only those of the truth's first frame ({len(objects)})"
    if others:
        raise ValueError(
            f"{plan.prediction.path}: predicted objects {_names(plan, others)}, expected "
            f"{expected}, as {protocol.evaluator} says; remove them, or use --protocol vos"
        )


def _match(plan: VideoPlan, results: Results, objects: set[Key]) -> dict[Key, Key]:
    """Give each object the prediction that makes the sum of J&F greatest."""
    keys = _in_order(plan, objects)
    # as many empty predictions as objects stand for what was not predicted
    predictions = [*_in_order(plan, _predicted(results)), *[NONE] * len(keys)]
    totals = np.zeros((len(keys), len(predictions)))
    for row, key in enumerate(keys):
        for column, prediction in enumerate(predictions):
            scores = [_score_of(result, prediction, key) for result in results.values()]
            totals[row, column] = sum(score.j + score.f for score in scores)
    rows, columns = linear_sum_assignment(totals, maximize=True)
    return {keys[row]: predictions[column] for row, column in zip(rows, columns, strict=True)}
