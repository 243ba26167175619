"""Two processes meet data files that are broken: both go on and count as one, or both end."""

import json

import pytest

from sam2_video.configuration import save
from sam2_video.data.loader import EpochSampler
from sam2_video.training.trainer import MemoryTuner
from tests.training.conftest import cut_off, measured, trained_videos
from tests.training.test_two_processes import launch

CLIPS_PER_VIDEO = 3
NUM_CLIPS = 4 * CLIPS_PER_VIDEO
SEED = 2
"""Each of two processes meets files of two broken videos that the other does not meet."""
SETTINGS = {
    "seed": SEED,
    "dataset__clips_per_video": CLIPS_PER_VIDEO,
    "trainer__max_epochs": 1,
}
SKIP = SETTINGS | {"dataset__on_bad_sample": "skip"}


# the same processes train twice, which takes half as long as starting others
GO_ON = """
first = run_train(["--config", str(folder / "goes_on.yaml")])
assert first == 0, first
"""


def train_as_one(run, own, output_dir, monkeypatch):
    """Return what one process says of the joined batches, and the faults that each of two meets."""
    by_process = set(), set()
    step = MemoryTuner.training_step

    def note(self, batch, batch_idx):
        for faults, source in zip(by_process, batch.sources, strict=True):
            faults.update(source.skipped)
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(MemoryTuner, "training_step", note)
        run(output_dir, **SKIP, **own, dataset__batch_size=2)
    return json.loads((output_dir / "training_metrics.json").read_text()), by_process


def test_both_go_on_without_broken_files_and_count_those_of_both(
    configure, run, own, tmp_path, monkeypatch
):
    for frames in trained_videos(configure(tmp_path / "unused", **SETTINGS, **own))[:2]:
        cut_off(frames)
    expected, (first, second) = train_as_one(run, own, tmp_path / "one", monkeypatch)
    assert first - second
    assert second - first
    settings = {**SKIP, **own, "trainer__devices": 2}
    save(configure(tmp_path / "two", **settings), tmp_path / "goes_on.yaml")
    # neither meets so many, both together do
    most = len(first | second) - 1
    assert max(len(first), len(second)) <= most
    capped = configure(tmp_path / "capped", **settings, dataset__max_bad_samples=most)
    done = launch(tmp_path, capped, GO_ON)

    summary = json.loads((tmp_path / "two/training_metrics.json").read_text())
    assert summary["is_finished"]
    for name in ("skipped_clips", "skipped_because"):
        assert summary[name] == expected[name]
    log = (tmp_path / "two/train.log").read_text()
    assert log.count("a clip is skipped") == len(first | second)
    found, others = measured(tmp_path / "two"), measured(tmp_path / "one")
    assert found == [pytest.approx(row, rel=1e-3) for row in others]

    assert done.returncode == 1
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert f"more than dataset.max_bad_samples: {most}; the last: " in error
    assert "Traceback" not in done.stderr


# the main process gives the other one less time to end by itself
SOON = """
from sam2_video.training import machine
machine.SECONDS_TO_END = 1
"""


def place_of(rank, video):
    """Return which of its clips is the first that a process draws of a video."""
    drawn = [index // CLIPS_PER_VIDEO for _, index in EpochSampler(NUM_CLIPS, SEED, rank, 2)]
    return drawn.index(video) if video in drawn else len(drawn)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_broken_file_in_one_process_ends_both_with_its_name(
    rank,
    configure,
    own,
    tmp_path,
):
    number = next(n for n in range(4) if place_of(rank, n) < place_of(1 - rank, n))
    frames = trained_videos(configure(tmp_path / "unused", **SETTINGS, **own))[number]
    cut_off(frames)
    config = configure(tmp_path / "two", **SETTINGS, **own, trainer__devices=2)
    done = launch(tmp_path, config, SOON)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    named = [line for line in errors if str(frames) in line]
    assert len(named) == 1, done.stderr
    assert "a training clip cannot be read" in named[0]
    assert "Traceback" not in done.stderr
