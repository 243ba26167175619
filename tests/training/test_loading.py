"""How fast clips are loaded is told beside the speed of training, and where that is too slow."""

import json
from types import SimpleNamespace

import pytest

from sam2_video.data import dataset, timing
from sam2_video.training import callbacks


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that moves a quarter of a second whenever it is looked at."""
    now = SimpleNamespace(seconds=0.0)

    def look() -> float:
        now.seconds += 0.25
        return now.seconds

    for module in (callbacks, timing):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=look, monotonic=look))
    return now


@pytest.mark.parametrize(("seconds", "is_slow"), [(3.0, True), (0.0, False)])
def test_a_slow_loader_is_told_with_both_speeds_and_what_to_change(
    run, tmp_path, said, monkeypatch, clock, seconds, is_slow
):
    read_clip = dataset.read_clip

    def read_slowly(*arguments, **named):
        clock.seconds += seconds
        return read_clip(*arguments, **named)

    monkeypatch.setattr(dataset, "read_clip", read_slowly)
    monkeypatch.setattr(callbacks, "MOST_WAITING", 0.7)
    options = {"trainer__max_epochs": 1, "dataset__val_fraction": 0.0, "dataset__num_workers": 0}
    result = run(tmp_path / "run", **options)
    summary = json.loads((result.output_dir / "training_metrics.json").read_text())
    assert summary["loader_clips_per_second"] == pytest.approx(1 / (seconds + 0.25))
    assert 0 < summary["clips_per_second"] < summary["loader_clips_per_second"]
    assert (summary["waiting_for_data"] > 0.7) is is_slow
    (epoch,) = [line for line in said if "epoch 1/1: " in line]
    assert f" clips/s (the loader alone: {1 / (seconds + 0.25):.2f}), " in epoch
    lines = [line for line in said if "waits for data" in line]
    assert len(lines) == is_slow
    for line in lines:
        assert line.startswith("WARNING")
        assert f"it takes {summary['clips_per_second']:.2f} clips/s" in line
        assert "processes read 0.31; raise dataset.num_workers" in line
