"""Frozen weights of the mask decoder are brought to 16 bits once a step; nothing else changes."""

from collections import Counter
from contextlib import nullcontext

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sam2_video.model import unroll
from sam2_video.model.compilation import compile_parts
from sam2_video.model.frozen import cast_frozen_weights
from tests.model.micro import micro_model
from tests.model.test_recomputation import CORRECTIONS, PROMPTS, learn_with

CAST = torch.ops.aten._to_copy.default


class Casts(TorchDispatchMode):
    """Counts how often each of some tensors is brought to another precision."""

    def __init__(self, tensors):
        super().__init__()
        self.names = {tensor.data_ptr(): name for name, tensor in tensors.items()}
        self.counts: Counter = Counter()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation is CAST and args[0].data_ptr() in self.names:
            self.counts[self.names[args[0].data_ptr()]] += 1
        return operation(*args, **(kwargs or {}))


@pytest.fixture
def model():
    return micro_model(("memory_attention", "memory_encoder")).train()


@pytest.fixture
def switch_off(monkeypatch):
    return lambda: monkeypatch.setattr(unroll, "cast_frozen_weights", nullcontext)


def layer(model):
    return model.network.mask_decoder.transformer.layers[0].self_attn.q_proj


def test_a_step_casts_each_frozen_weight_once_however_many_clicks(model, switch_off):
    named = {
        f"mask_decoder.{name}.{kind}": tensor
        for name, module in model.network.mask_decoder.named_modules()
        if isinstance(module, torch.nn.Linear)
        for kind, tensor in module.named_parameters(recurse=False)
    }
    with Casts(named) as casts:
        learn_with(model, "none", precision=torch.bfloat16)
    assert set(casts.counts) == set(named)
    assert set(casts.counts.values()) == {1}
    switch_off()
    with Casts(named) as before:
        learn_with(model, "none", precision=torch.bfloat16)
    assert min(before.counts.values()) > len(CORRECTIONS) + len(PROMPTS)


@pytest.mark.parametrize("recomputed", ["none", "clicks", "light", "cheap", "frames"])
def test_loss_and_gradients_are_those_of_casting_each_time(model, switch_off, recomputed):
    loss, gradients, _ = learn_with(model, recomputed, precision=torch.bfloat16)
    switch_off()
    expected, others, _ = learn_with(model, recomputed, precision=torch.bfloat16)
    assert loss == expected
    assert gradients.keys() == others.keys()
    assert all(torch.equal(gradients[name], others[name]) for name in others)


def test_weights_are_themselves_again_also_after_an_error(model):
    before = dict(model.named_parameters())
    with torch.autocast("cpu", torch.bfloat16):
        with cast_frozen_weights(model.network):
            assert layer(model).weight.dtype == torch.bfloat16
        with pytest.raises(RuntimeError, match="stop"), cast_frozen_weights(model.network):
            raise RuntimeError("stop")
    after = dict(model.named_parameters())
    assert after.keys() == before.keys()
    assert all(after[name] is parameter for name, parameter in before.items())


def test_what_learns_is_left_to_autocast():
    model = micro_model(("mask_decoder",)).train()
    with torch.autocast("cpu", torch.bfloat16), cast_frozen_weights(model.network):
        assert layer(model).weight.dtype == torch.float32


def test_without_autocast_or_compiled_nothing_is_cast(model):
    with cast_frozen_weights(model.network):
        assert layer(model).weight.dtype == torch.float32
    compile_parts(model.network, "max", torch.device("cpu"), backend="eager")
    with torch.autocast("cpu", torch.bfloat16), cast_frozen_weights(model.network):
        assert layer(model).weight.dtype == torch.float32
