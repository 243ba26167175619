"""Averaged weights: their values, their scores beside the raw ones, and which become the best."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from torch import nn

from sam2_video import evaluate
from sam2_video.configuration import load_config
from sam2_video.data.datamodule import ClipDataModule
from sam2_video.model.writing import write_meta
from sam2_video.training.averaging import WeightAverage
from sam2_video.training.trainer import MemoryTuner
from tests.model.micro import micro_model
from tests.training.conftest import answer_with, assert_loads_as, measured, network_of

MICRO = Path(__file__).parents[2] / "demo/micro.pt"
ON = {
    "trainer__ema_decay": 0.9,
    "dataset__video_clip_length": 2,
    "prompts__box": 0.0,
    "prompts__point": 0.0,
}


def toy() -> nn.Sequential:
    network = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    network[0].requires_grad_(False)
    return network


def test_the_average_follows_its_rule_and_holds_only_what_learns():
    network, average = toy(), WeightAverage(0.5)
    average.start(network)
    expected = network[1].weight.detach().clone()
    for number in range(1, 9):
        with torch.no_grad():
            network[1].weight.add_(number)
        average.update(network)
        decay = min(0.5, (1 + number) / (10 + number))
        expected = decay * expected + (1 - decay) * network[1].weight.detach()
    weights = average.state_dict()["weights"]
    assert weights.keys() == {"1.weight", "1.bias"}
    torch.testing.assert_close(weights["1.weight"], expected)


def test_the_weights_come_back_to_the_last_bit_after_an_error_too():
    network, average = toy(), WeightAverage(0.9)
    average.start(network)
    raw = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.no_grad():
        network[1].weight.mul_(3)
    average.update(network)
    raw["1.weight"] = network[1].weight.detach().clone()
    seen = []

    def fail():
        with average.applied(network):
            seen.append(network[1].weight.detach().clone())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not torch.equal(seen[0], raw["1.weight"])
    assert all(torch.equal(value, raw[name]) for name, value in network.state_dict().items())


def test_autocast_forgets_its_copies_when_the_weights_are_exchanged():
    network, average = toy(), WeightAverage(0.5)
    average.start(network)
    with torch.no_grad():
        network[1].weight.add_(4)
    average.update(network)
    inputs = torch.ones(1, 3)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        raw = network(inputs)
        with average.applied(network):
            averaged = network(inputs)
        again = network(inputs)
    assert not torch.allclose(raw, averaged, atol=0.1)
    assert torch.equal(raw, again)


@pytest.fixture(scope="module")
def averaged(run, tmp_path_factory):
    """Train with averaging for two epochs; return the result."""
    start = {"model__checkpoint_path": str(MICRO), "trainer__keep_checkpoints": -1}
    return run(tmp_path_factory.mktemp("averaged") / "run", **ON, **start)


def average_in(checkpoint):
    return torch.load(checkpoint, weights_only=True)["average"]


def test_validation_scores_the_averaged_weights_beside_the_raw_ones(averaged, data, tmp_path):
    config = load_config(averaged.output_dir / "config.yaml")
    datamodule = ClipDataModule(config.dataset, 42)
    datamodule.setup()
    names = [video.video_id for video in datamodule.val_videos]
    checkpoint = averaged.output_dir / "checkpoints/last.ckpt"
    settings = {"masks_path": data / "masks", "videos": names, "image_size": (64, 64)}
    model = micro_model()
    raw = network_of(checkpoint)
    found = []
    for weights in (raw, raw | average_in(checkpoint)["weights"]):
        model.network.load_state_dict(weights)
        write_meta(model.network, tmp_path / "weights.pth")
        scores = evaluate(tmp_path / "weights.pth", data / "videos", **settings).report.overall
        found.append((scores.jf, scores.j, scores.f))
    last = measured(averaged.output_dir, prefixes=("val",))[-1]
    assert (last["val/JF"], last["val/J"], last["val/F"]) == found[0]
    assert (last["val_ema/JF"], last["val_ema/J"], last["val_ema/F"]) == found[1]
    assert found[0] != found[1]


def test_before_the_first_step_there_is_nothing_to_average(averaged):
    rows = {row["step"]: row for row in measured(averaged.output_dir) if "val/JF" in row}
    assert ["val_ema/JF" in row for row in measured(averaged.output_dir, prefixes=("val",))] == [
        "val/JF" in row and row["step"] > 0 for row in measured(averaged.output_dir)
    ]
    assert list(rows) == [0, 4, 8]


@pytest.mark.parametrize(
    # raw before training; then raw and averaged, epoch by epoch
    ("scores", "best", "is_averaged", "step"),
    [([0.5, 0.4, 0.7, 0.6, 0.3], 0.7, True, 4), ([0.5, 0.6, 0.4], 0.6, False, 4)],
)
def test_the_best_weights_are_the_better_of_the_two(
    scores, best, is_averaged, step, run, tmp_path, monkeypatch, said
):
    answer_with(monkeypatch, scores)
    result = run(tmp_path / "run", **ON, trainer__max_epochs=len(scores) // 2)
    assert (result.best, result.is_best_averaged) == (pytest.approx(best), is_averaged)
    checkpoint = tmp_path / f"run/checkpoints/epoch_{step // 4 - 1:03d}.ckpt"
    weights = network_of(checkpoint)
    if is_averaged:
        weights |= average_in(checkpoint)["weights"]
    assert_loads_as(result.best_model, weights)
    summary = json.loads((tmp_path / "run/training_metrics.json").read_text())
    assert summary["best_weights"] == ("averaged" if is_averaged else "raw")
    assert summary["val/JF"]["best"] == pytest.approx(best)
    assert summary["val/JF"]["best_step"] == step
    assert any("averaged over the steps" in line for line in said) == is_averaged
    assert any(f"{scores[2]:.3f} averaged" in line for line in said)


def test_a_run_goes_on_while_the_averaged_weights_become_better(run, tmp_path, monkeypatch):
    answer_with(monkeypatch, [0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.1])
    result = run(tmp_path / "run", **ON, trainer__early_stopping=1, trainer__max_epochs=9)
    # the raw weights never become better, the averaged ones do so twice
    validated = [row["step"] for row in measured(result.output_dir) if "val/JF" in row]
    assert validated == [0, 4, 8, 12]
    assert result.best == pytest.approx(0.7)


def test_averaging_changes_nothing_that_is_trained(averaged, run, tmp_path):
    settings = ON | {"trainer__ema_decay": None, "model__checkpoint_path": str(MICRO)}
    run(tmp_path / "run", **settings)
    rows = measured(tmp_path / "run")
    assert not any(name.startswith("val_ema") for row in rows for name in row)
    assert rows == [
        {name: value for name, value in row.items() if not name.startswith("val_ema")}
        for row in measured(averaged.output_dir)
    ]
    weights, others = (
        network_of(folder / "checkpoints/last.ckpt")
        for folder in (tmp_path / "run", averaged.output_dir)
    )
    assert all(torch.equal(value, others[name]) for name, value in weights.items())
    # and it may begin in a resumed run
    more = ON | {"trainer__max_epochs": 3}
    run(tmp_path / "run", **more, resume=str(tmp_path / "run"))
    assert average_in(tmp_path / "run/checkpoints/last.ckpt")["num_updates"] == 4
    assert "val_ema/JF" in measured(tmp_path / "run", prefixes=("val",))[-1]


def test_a_stopped_run_goes_on_with_its_average(averaged, run, tmp_path, monkeypatch):
    settings = ON | {"model__checkpoint_path": str(MICRO), "trainer__keep_checkpoints": -1}
    step, calls = MemoryTuner.training_step, []

    def stopping(self, *args):
        calls.append(args)
        if len(calls) == 6:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(MemoryTuner, "training_step", stopping)
        assert not run(tmp_path / "run", **settings).is_finished
    result = run(tmp_path / "run", resume=str(tmp_path / "run"), **settings)
    names = ("train/", "val", "lr")
    assert measured(result.output_dir, prefixes=names) == measured(
        averaged.output_dir, prefixes=names
    )
    one, other = (
        average_in(folder / "checkpoints/last.ckpt")
        for folder in (result.output_dir, averaged.output_dir)
    )
    assert one["num_updates"] == other["num_updates"] == 8
    assert all(torch.equal(value, other["weights"][n]) for n, value in one["weights"].items())
    assert (result.best, result.is_best_averaged) == (averaged.best, averaged.is_best_averaged)
