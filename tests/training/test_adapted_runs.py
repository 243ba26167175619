"""Runs that train adapters: what they leave behind, and how they go on."""

import os
import signal

import pytest
import torch

from sam2_video import SAM2Model, export
from sam2_video.model.adapters import is_adapter
from sam2_video.model.checkpoint import read_weights
from sam2_video.training.trainer import MemoryTuner
from tests.model.micro import by_object, mask_prompt, noise, relative
from tests.training.conftest import measured, network_of

ADAPTED = {
    "lora__modules": ["image_encoder.neck", "memory_attention"],
    "lora__rank": 2,
    "lora__alpha": 8.0,
    "lora__dropout": 0.1,
    "model__trainable_modules": ["no_obj_ptr"],
    "trainer__ema_decay": 0.8,
    "trainer__lr_by_name": {"*.lora_B.*": 2e-3},
    "dataset__video_clip_length": 2,
    "prompts__box": 0.0,
    "prompts__point": 0.0,
}


@pytest.fixture(scope="module")
def adapted(run, tmp_path_factory):
    """Train adapters; return the result."""
    return run(tmp_path_factory.mktemp("adapted") / "run", **ADAPTED)


def say(model):
    with torch.no_grad():
        outputs = model.eval()(noise(1, 3), torch.tensor([0]), [mask_prompt(0, (0,))])
    return by_object(outputs)


def rebuilt(checkpoint):
    """Return a model with the adapters of a checkpoint beside its layers."""
    model = SAM2Model.load(None, "micro", (64, 64))
    model.add_adapters(ADAPTED["lora__modules"], rank=2, alpha=8.0)
    model.network.load_state_dict(network_of(checkpoint))
    return model


def test_a_checkpoint_keeps_the_adapters_and_nothing_else_has_learned(adapted):
    state = network_of(adapted.output_dir / "checkpoints/last.ckpt")
    before = SAM2Model.load(None, "micro", (64, 64), seed=42).network.state_dict()
    changed = {n for n, x in state.items() if n in before and not torch.equal(x, before[n])}
    assert changed == {"no_object_pointer"}
    ups = [tensor for name, tensor in state.items() if ".lora_B." in name]
    assert len(ups) > 8
    assert all(tensor.abs().max() > 0 for tensor in ups)
    for name, tensor in state.items():
        if ".base_layer." in name:
            assert torch.equal(tensor, before[name.replace(".base_layer", "")]), name


def test_loading_a_checkpoint_merges_its_adapters(adapted):
    checkpoint = adapted.output_dir / "checkpoints/last.ckpt"
    expected = say(rebuilt(checkpoint))
    merged = SAM2Model.load(str(checkpoint), image_size=(64, 64))
    assert not any(is_adapter(name) for name in merged.network.state_dict())
    for key, value in say(merged).items():
        assert relative(value, expected[key]) < 1e-5
    plain = say(SAM2Model.load(None, "micro", (64, 64), seed=42))
    assert max(relative(plain[key], expected[key]) for key in plain) > 1e-3


@pytest.mark.parametrize(("to", "name"), [("meta", "x.pt"), ("safetensors", "x.safetensors")])
def test_an_export_has_merged_weights(to, name, adapted, tmp_path):
    checkpoint = adapted.output_dir / "checkpoints/last.ckpt"
    done = export(checkpoint, to, tmp_path / name)
    written = read_weights(str(tmp_path / name)).tensors
    assert not any("lora" in key or "base_layer" in key for key in written)
    assert done.num_tensors == len(SAM2Model.load(None, "micro").network.state_dict())
    expected = say(rebuilt(checkpoint))
    for key, value in say(SAM2Model.load(str(tmp_path / name), image_size=(64, 64))).items():
        assert relative(value, expected[key]) < 1e-5


def test_the_best_weights_are_merged(adapted):
    names = torch.load(adapted.best_model, weights_only=True)["model"]
    assert not any("lora" in name or "base_layer" in name for name in names)
    assert SAM2Model.load(str(adapted.best_model)).architecture.name == "micro"


def test_a_name_with_a_rate_of_its_own_has_a_column(adapted):
    for row in measured(adapted.output_dir):
        if "train/loss" in row:
            assert row["lr-*.lora_B.*"] == pytest.approx(2 * row["lr-AdamW"])


def test_a_stopped_run_goes_on_exactly_with_its_adapters(adapted, run, tmp_path, monkeypatch):
    step, calls = MemoryTuner.training_step, []

    def stopping(self, *args):
        calls.append(args)
        if len(calls) == 6:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(MemoryTuner, "training_step", stopping)
        assert not run(tmp_path / "run", **ADAPTED).is_finished
    result = run(tmp_path / "run", resume=str(tmp_path / "run"), **ADAPTED)
    assert measured(result.output_dir) == measured(adapted.output_dir)
    one, other = (
        torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
        for folder in (result.output_dir, adapted.output_dir)
    )
    for state, twin in (
        (one["state_dict"], other["state_dict"]),
        (one["average"]["weights"], other["average"]["weights"]),
    ):
        assert state.keys() == twin.keys()
        assert all(torch.equal(value, twin[name]) for name, value in state.items())
    assert one["average"]["num_updates"] == other["average"]["num_updates"] == 8


def test_other_adapters_cannot_resume(adapted, run):
    changed = ADAPTED | {"lora__rank": 4, "trainer__max_epochs": 3}
    with pytest.raises(ValueError, match=r"weights differ.*or has other adapters"):
        run(adapted.output_dir, resume=str(adapted.output_dir), **changed)


def test_a_resumed_run_takes_new_rates_by_name_and_keeps_every_moment(adapted, run, tmp_path):
    """The same rates under other names, in other groups: the same run."""
    renamed = {"image_encoder": 1e-3, "memory_attention": 1e-3, "*.lora_B.*": 2e-3}
    settings = ADAPTED | {"trainer__max_epochs": 2}
    calls = []

    def stop(self, *args):
        calls.append(args)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, *args)

    step = MemoryTuner.training_step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryTuner, "training_step", stop)
        run(tmp_path / "run", **settings)
    settings |= {"trainer__lr_by_name": renamed, "trainer__weight_decay_by_name": {"all": 0.01}}
    result = run(tmp_path / "run", resume=str(tmp_path / "run"), **settings)
    weights, expected = (
        network_of(folder / "checkpoints/last.ckpt")
        for folder in (result.output_dir, adapted.output_dir)
    )
    assert all(torch.equal(value, expected[name]) for name, value in weights.items())
