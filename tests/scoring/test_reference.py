"""Every number that the public evaluators gave for the shared masks, to 1e-6."""

import json
from functools import cache
from pathlib import Path

import pytest

from sam2_video import score
from sam2_video.scoring import run
from sam2_video.scoring.frames import try_frame

SETS = Path(__file__).parents[2].parent / "shared" / "data" / "vos_eval"
PROTOCOLS = {
    ("vos-benchmark", "default"): ("vos", False),
    ("vos-benchmark", "do_not_skip_first_and_last_frame"): ("vos", True),
    ("sav_evaluator", "default"): ("sav", False),
    ("sav_evaluator", "do_not_skip_first_and_last_frame"): ("sav", True),
    ("davis2017-evaluation", "semi-supervised"): ("davis", False),
    ("davis2017-evaluation", "unsupervised"): ("davis-unsupervised", False),
}


def references():
    path = SETS / "reference_scores.json"
    if not path.is_file():
        reason = "the public evaluators' scores are not here (shared beside the repository)"
        return [pytest.param({}, marks=pytest.mark.skip(reason=reason))]
    results = json.loads(path.read_text())["results"]
    return [
        pytest.param(result, id="-".join(result[key] for key in ("pred", "tool", "options")))
        for result in results
    ]


@pytest.fixture(autouse=True)
def frames_read_once(monkeypatch):
    # protocols differ in what they make of frames; the frames' own scores are the same
    def remembered(task):
        key = (*task.truth.items(),), (*task.prediction.items(),), task.compares_all
        if key not in REMEMBERED:
            REMEMBERED[key] = try_frame(task)
        return REMEMBERED[key]

    monkeypatch.setattr(run, "try_frame", remembered)


REMEMBERED: dict = {}


@cache
def report(name, predictions, protocol, counts_all):
    return score(
        SETS / name / "gt",
        SETS / name / predictions,
        protocol,
        count_first_and_last=counts_all,
        missing="skip",
    ).as_dict()


@pytest.mark.parametrize("reference", references())
def test_scores_equal_the_public_evaluators(reference):
    protocol = PROTOCOLS[reference["tool"], reference["options"]]
    scale = 100 if reference["scale"] == "0..100" else 1
    ours = report(reference["set"], reference["pred"], *protocol)
    assert not ours["left_out"]
    for name, value in reference["overall"].items():
        assert ours["overall"][name] == pytest.approx(value / scale, abs=1e-6), name
    by_object = {
        f"{video}_{item}": scores
        for video, content in ours["videos"].items()
        for item, scores in content["objects"].items()
    }
    assert by_object.keys() == reference["per_object"].keys()
    for name, values in reference["per_object"].items():
        for key, value in values.items():
            assert by_object[name][key] == pytest.approx(value / scale, abs=1e-6), (name, key)
