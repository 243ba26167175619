"""The loss scale of 16-mixed is a part of a run's state: what it has grown to, and when it grows.

Lightning lets a CPU have none: here it gets one, beside bfloat16.
"""

import signal

import pytest
import torch
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.trainer.connectors import accelerator_connector

from tests.training.conftest import at_call, send

STEPS = {"dataset__clips_per_video": 2, "trainer__precision": "bf16-mixed"}
INITIAL, GROWS_EVERY = 1024.0, 3


class Scaled(MixedPrecision):
    """bfloat16 with a loss scale that doubles after a few steps."""

    def __init__(self, precision, device):
        super().__init__(precision, device)
        self.scaler = torch.amp.GradScaler(device, init_scale=INITIAL, growth_interval=GROWS_EVERY)


@pytest.fixture
def scaled(monkeypatch):
    monkeypatch.setattr(accelerator_connector, "MixedPrecision", Scaled)


def end(output_dir):
    content = torch.load(output_dir / "checkpoints/last.ckpt", weights_only=True)
    return content["Scaled"], content["state_dict"], content["global_step"]


@pytest.mark.usefixtures("scaled")
def test_a_stopped_run_goes_on_with_the_scale_that_it_had(run, tmp_path, monkeypatch):
    run(tmp_path / "unbroken", **STEPS)
    scale, weights, steps = end(tmp_path / "unbroken")
    assert scale["scale"] == INITIAL * 2 ** (steps // GROWS_EVERY) > INITIAL
    assert scale["_growth_tracker"] == steps % GROWS_EVERY
    output_dir = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        at_call(patch, "training_step", GROWS_EVERY + 1, send(signal.SIGTERM))
        assert not run(output_dir, **STEPS).is_finished
    stopped, *_ = end(output_dir)
    assert stopped["scale"] > INITIAL
    assert run(output_dir, resume=str(output_dir), **STEPS).is_finished
    found, found_weights, _ = end(output_dir)
    assert found == scale
    assert all(torch.equal(value, found_weights[name]) for name, value in weights.items())
