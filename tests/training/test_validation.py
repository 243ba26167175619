"""Validation: the numbers of `evaluate`, before the first step too, and what follows from them."""

import json
import shutil
from pathlib import Path

import pytest

from sam2_video import evaluate
from sam2_video.configuration import load_config
from sam2_video.data.datamodule import ClipDataModule
from tests.training.conftest import answer_with, assert_loads_as, measured, network_of

MICRO = Path(__file__).parents[2] / "demo/micro.pt"


@pytest.fixture(scope="module")
def trained(run, tmp_path_factory):
    """Return the result of an ordinary run."""
    return run(tmp_path_factory.mktemp("validated") / "run", trainer__lr_scheduler="constant")


def test_validations_are_told_alike_everywhere(trained):
    rows = {row["step"]: row for row in measured(trained.output_dir) if "val/JF" in row}
    values = {step: row["val/JF"] for step, row in rows.items()}
    content = json.loads((trained.output_dir / "training_metrics.json").read_text())
    summary = content["val/JF"]
    assert list(values) == [0, 4, 8]
    assert trained.before == summary["before"] == values[0]
    assert trained.last == summary["last"] == values[8]
    assert trained.best == summary["best"] == max(values.values())
    assert values[summary["best_step"]] == trained.best
    for name in ("val/J", "val/F"):
        assert content[name]["before"] == rows[0][name]
        assert content[name]["best"] == rows[summary["best_step"]][name]
        assert content[name]["last"] == rows[8][name]
    for row in rows.values():
        assert row["val/JF"] == pytest.approx((row["val/J"] + row["val/F"]) / 2)


@pytest.mark.parametrize(("prompt", "clicks"), [("mask", 0), ("box", 2)])
def test_validation_is_what_evaluate_says(run, data, tmp_path, prompt, clicks):
    # weights whose scores are not all zero
    start = {"model__checkpoint_path": str(MICRO), "trainer__max_steps": 1}
    start |= {"prompts__validation": prompt, "prompts__validation_clicks": clicks}
    result = run(tmp_path / "run", **start)
    datamodule = ClipDataModule(load_config(result.output_dir / "config.yaml").dataset, 42)
    datamodule.setup()
    names = [video.video_id for video in datamodule.val_videos]
    settings = {"masks_path": data / "masks", "videos": names, "image_size": (64, 64)}
    settings |= {"prompt": prompt, "clicks": clicks}
    for weights, row in zip((MICRO, result.best_model), (0, -1), strict=True):
        scores = evaluate(weights, data / "videos", **settings).report.overall
        validated = [r for r in measured(result.output_dir) if "val/JF" in r]
        if row == -1:
            validated.sort(key=lambda r: r["val/JF"])
        found = validated[row]
        assert (found["val/JF"], found["val/J"], found["val/F"]) == (scores.jf, scores.j, scores.f)
        assert scores.jf > 0


def test_the_end_tells_zero_shot_best_and_last(trained, run, tmp_path, monkeypatch, said):
    answer_with(monkeypatch, [0.5, 0.4, 0.3])
    run(tmp_path / "worse")
    assert any("validation J&F: zero-shot 0.500, best 0.500, last 0.300" in line for line in said)
    assert any("WARNING: training did not help" in line for line in said)
    said.clear()
    answer_with(monkeypatch, [0.5, 0.6, 0.3])
    run(tmp_path / "better")
    assert any("validation J&F: zero-shot 0.500, best 0.600, last 0.300" in line for line in said)
    assert not any("did not help" in line for line in said)


def test_a_validation_without_a_frame_that_counts_is_said_once(run, data, tmp_path, said):
    masks = tmp_path / "masks"
    for video in sorted((data / "masks").iterdir()):
        for path in sorted(video.iterdir())[:2]:
            (masks / video.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, masks / video.name)
    sparse = {"dataset__masks_path": str(masks), "trainer__max_epochs": 1}
    result = run(tmp_path / "run", **sparse)
    assert (result.before, result.best, result.last) == (None, None, None)
    assert sum("validation_counts_first_and_last" in line for line in said) == 1
    counted = run(tmp_path / "all", **sparse, trainer__validation_counts_first_and_last=True)
    assert counted.before is not None


def test_training_stops_early_and_keeps_the_best(run, tmp_path, monkeypatch, said):
    answer_with(monkeypatch, [0.5, 0.4, 0.6, 0.3, 0.2, 0.9])
    settings = {"trainer__early_stopping": 2, "trainer__keep_checkpoints": -1}
    result = run(tmp_path / "run", trainer__max_epochs=9, **settings)
    assert [row["val/JF"] for row in measured(result.output_dir) if "val/JF" in row] == [
        pytest.approx(value) for value in (0.5, 0.4, 0.6, 0.3, 0.2)
    ]
    assert result.best == pytest.approx(0.6)
    # neither the first nor the last of the validations
    assert_loads_as(result.best_model, network_of(tmp_path / "run/checkpoints/epoch_001.ckpt"))
    assert any("stopped early" in line for line in said)
