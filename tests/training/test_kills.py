"""A run killed in a step, while writing its state, and in validation ends as an unbroken one."""

import signal

from benchmarks.kill import differences, outcome, write_config
from benchmarks.killed import HALF, begin, command
from sam2_video.configuration import load_config
from sam2_video.training.resume import read_resume
from sam2_video.training.run import train

# a state after each step: what is lost is the step in which the process is killed
OFTEN = {"trainer.save_every_minutes": 1e-6, "trainer.max_epochs": 2}
STEPS_AN_EPOCH = 6
KILLS = [("backward", 5), (HALF, 4), ("validation", 1)]
"""The second batch of the third step, the fourth state from there, the next validation."""
STATES = [2, 5, 6]


def test_a_run_killed_again_and_again_ends_as_an_unbroken_one(tmp_path):
    train(load_config(write_config(tmp_path, tmp_path / "unbroken", **OFTEN)))
    output_dir = tmp_path / "killed"
    config = write_config(tmp_path, output_dir, **OFTEN)
    for (phase, number), step in zip(KILLS, STATES, strict=True):
        resume = output_dir if output_dir.is_dir() else None
        line = command(config, resume, tmp_path / "phase", phase, number)
        assert begin(line).wait() == -signal.SIGKILL
        assert read_resume(str(output_dir)).step == step
        if phase == HALF:
            assert (output_dir / "checkpoints/.last.part.ckpt").stat().st_size > 0
    assert begin(command(config, output_dir, tmp_path / "phase")).wait() == 0
    assert list(output_dir.rglob(".*.part*")) == []
    assert differences(outcome(tmp_path / "unbroken"), outcome(output_dir)) == []
