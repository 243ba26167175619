"""A clock that is set during a run, forwards and back, changes nothing but the times in logs."""

import json
import os
import time

from tests.training.conftest import at_call

DAY = 86_400.0


def test_a_clock_that_jumps_neither_ends_a_run_nor_lets_it_drop_its_newest_state(
    run, tmp_path, monkeypatch
):
    output_dir, asked = tmp_path / "run", []
    right = time.time

    def wrong():
        asked.append(None)
        return right() + DAY * (-1) ** len(asked)

    def make_the_first_state_the_youngest():
        then = right() + DAY
        os.utime(output_dir / "checkpoints/epoch_000.ckpt", (then, then))

    monkeypatch.setattr(time, "time", wrong)
    # the first of the second epoch of 4
    at_call(monkeypatch, "training_step", 4, make_the_first_state_the_youngest)
    started = time.monotonic()
    result = run(
        output_dir,
        trainer__keep_checkpoints=1,
        trainer__max_time_minutes=60.0,
        trainer__save_every_minutes=60.0,
    )
    took = time.monotonic() - started
    assert asked
    assert result.is_finished
    kept = [path.name for path in (output_dir / "checkpoints").glob("epoch_*")]
    assert kept == ["epoch_001.ckpt"]
    summary = json.loads((output_dir / "training_metrics.json").read_text())
    assert summary["epochs"] == 2
    assert 0 < summary["training_seconds"] < took
    assert summary["clips_per_second"] > 4 / took
