"""Both sides of the benchmark take the same step, and what is measured of it is what it is."""

import json
from contextlib import ExitStack
from dataclasses import replace
from itertools import product
from unittest.mock import patch

import pytest
import torch

from benchmarks.step import meta, ours
from benchmarks.step.compare import find_result, measure_row
from benchmarks.step.contestant import make_clip
from benchmarks.step.flops import counted, formulas
from benchmarks.step.rows import FAMILIES, FP32, all_rows, choose_rows
from benchmarks.step.settings import EVERYTHING, Problem, Row, Way
from benchmarks.step.timeline import BACKWARD, PARTS, Timeline, watch
from benchmarks.turns import Worker, WorkerFailedError
from sam2_video.model import attention
from sam2_video.model.attention import attend
from tests.model.meta_clicks import recorded, told

MASK = Problem("micro", 64)
POINT = replace(MASK, prompt="point", clicks=7)
PROBLEMS = {
    "mask": MASK,
    "eight frames, one object": replace(MASK, frames=8, objects=1),
    "point and 7 clicks": POINT,
    "everything learns": replace(MASK, trainable=EVERYTHING),
    "everything learns, clicks": replace(POINT, trainable=EVERYTHING),
}
WAYS = {
    "plain": Way("ours"),
    "frames again": Way("ours", activation_checkpointing="frames"),
    "light again": Way("ours", activation_checkpointing="light"),
    "cheap again": Way("ours", activation_checkpointing="cheap"),
    "in parts": Way("ours", objects_at_once=2),
    "cache": Way("ours", cache=True),
}


def take_both_steps(problem, way, folder):
    """Return loss and norm of ours, and of Meta's, which clicks where ours has clicked."""
    from training.model import sam2

    timeline = Timeline()
    contestant = ours.prepare(problem, way, folder)
    with watch(timeline, contestant.places), recorded() as drawn:
        own = contestant.step(timeline)
    other = meta.prepare(problem, Way("meta"))
    points = make_clip(problem).points
    first = points, torch.ones(points.shape[:2], dtype=torch.int32)
    with ExitStack() as stack:
        if problem.clicks:
            stack.enter_context(patch.object(sam2, "get_next_point", lambda **_: first))
            stack.enter_context(told(other.network, drawn))
        stack.enter_context(watch(timeline, other.places))
        theirs = other.step(timeline)
    return own, theirs, contestant, other


PAIRS = [
    *((problem, "plain") for problem in PROBLEMS),
    *(("mask", way) for way in WAYS if way != "plain"),
    *(("point and 7 clicks", way) for way in ("frames again", "cache")),
]


@pytest.mark.parametrize(("problem", "way"), PAIRS)
def test_loss_and_gradient_are_metas(problem, way, tmp_path):
    pytest.importorskip("training", reason="Meta's sam2 1.1.0 is not installed")
    own, theirs, contestant, other = take_both_steps(PROBLEMS[problem], WAYS[way], tmp_path)
    for ours_said, meta_said in zip(own, theirs, strict=True):
        assert float(ours_said) == pytest.approx(float(meta_said), rel=1e-5)
    counts = [
        sum(p.numel() for p in side.network.parameters() if p.requires_grad)
        for side in (contestant, other)
    ]
    assert counts[0] == counts[1]


def test_a_cached_clip_is_read_anew_in_each_step_and_holds_no_pixels(tmp_path):
    contestant = ours.prepare(MASK, WAYS["cache"], tmp_path)
    first, second = contestant.read(), contestant.read()
    assert first.clips.pixels is None
    assert first.clips.levels.embedding is not second.clips.levels.embedding
    (file,) = tmp_path.iterdir()
    file.unlink()
    with pytest.raises(FileNotFoundError):
        contestant.read()


def test_a_step_is_divided_into_its_parts(tmp_path):
    contestant, timeline = ours.prepare(MASK, WAYS["frames again"], tmp_path), Timeline()
    with watch(timeline, contestant.places):
        contestant.step(timeline)
    totals = timeline.totals()
    assert set(totals) == set(PARTS)
    assert all(seconds > 0 for seconds in totals.values())


def test_what_backward_computes_again_belongs_to_backward():
    moments = iter([0, 1, 3, 6, 10, 14])
    timeline = Timeline(lambda: next(moments))
    with timeline.part("other"), timeline.part("decoder"):
        pass
    with timeline.part(BACKWARD), timeline.part("decoder"):
        pass
    assert timeline.totals() == {"other": 1 + 3, "decoder": 2, BACKWARD: 4}


def test_operations_are_counted_once_for_each_gradient_of_a_depthwise_convolution():
    layer = torch.nn.Conv2d(16, 16, 7, padding=3, groups=16)
    pixels = torch.randn(1, 16, 8, 8, requires_grad=True)
    with counted() as count:
        said = layer(pixels)
        forward = count()
        said.sum().backward()
    assert forward == 2 * 16 * 8 * 8 * 49
    assert count() == 3 * forward


def test_operations_of_attention_are_counted_on_a_cpu(monkeypatch):
    query, key, value = (torch.randn(1, 40, width, requires_grad=True) for width in (32, 32, 8))
    # matrices are kept where they are small, else computed again in blocks
    half = [tensor.bfloat16() for tensor in (query, key, value)]
    for inputs, (kept_bytes, again) in product((half, (query, key, value)), ((2**20, 0), (0, 32))):
        monkeypatch.setattr(attention, "KEPT_BYTES", kept_bytes)
        with counted() as count:
            said = attend(*inputs)
            forward = count()
            said.sum().backward()
        assert forward == 2 * 40 * 40 * (32 + 8)
        assert count() - forward == 2 * 40 * 40 * (2 * 32 + 2 * 8 + again)
    wide = torch.randn(1, 40, 32, requires_grad=True)
    with counted() as count:
        attend(query, key, wide)
    assert count() == 2 * 2 * 40 * 40 * 32


def test_an_operation_of_ours_without_a_formula_is_refused():
    with torch.library._scoped_library("sam2_video", "FRAGMENT") as library:
        library.define("unknown(Tensor x) -> Tensor")
        with pytest.raises(ValueError, match="sam2_video::unknown"):
            formulas()


def test_rows_have_names_of_their_own_and_are_found_by_name_and_family():
    rows = all_rows()
    assert len({row.name for row in rows}) == len(rows)
    assert all(choose_rows([family]) for family in FAMILIES)
    assert [row.name for row in choose_rows(["cpu-512", "quick"])] == ["quick", "cpu-512"]
    assert len(choose_rows(["cpu-*"])) > 3
    compiled = choose_rows(["compiled"])
    assert compiled == choose_rows(["gpu-compiled-*"])
    assert {way.compile for row in compiled for way in row.ways.values()} == {"off", "auto", "max"}
    with pytest.raises(ValueError, match="cpu-513"):
        choose_rows(["cpu-513"])


def test_a_row_is_measured_once_by_the_same_code_and_machine(tmp_path, monkeypatch):
    pytest.importorskip("training", reason="Meta's sam2 1.1.0 is not installed")
    row = Row("one", "", MASK, FP32, rounds=2)
    assert find_result(row, tmp_path) is None
    result = measure_row(row, folder=tmp_path)
    assert result["failed"] == {}
    assert [len(runs) for runs in result["runs"].values()] == [2, 2]
    assert result["ratios"]["ours"]["time"]["median"] > 0
    found = find_result(row, tmp_path)
    assert found == json.loads(json.dumps(result))
    assert find_result(replace(row, problem=POINT), tmp_path) is None
    monkeypatch.setattr("benchmarks.step.compare.code_now", lambda: "other code")
    assert find_result(row, tmp_path) is None


def test_a_way_that_does_not_fit_is_recorded_with_the_reason(tmp_path):
    problem = Problem("micro", 64, frames=5, objects=20_000_000)
    result = measure_row(Row("large", "", problem, {"ours": Way("ours")}), folder=tmp_path)
    assert "out of memory" in result["failed"]["ours"]
    assert result["medians"] == {}


def test_a_way_of_which_nothing_is_compiled_is_no_compiled_way(tmp_path):
    row = Row("one", "", MASK, {"ours": Way("ours", compile="auto")})
    result = measure_row(row, folder=tmp_path)
    assert "auto compiles nothing on cpu" in result["failed"]["ours"]


def test_a_process_that_ends_says_why():
    with pytest.raises(WorkerFailedError, match="KeyError: 'problem'"):
        Worker("benchmarks.step.worker", {})
