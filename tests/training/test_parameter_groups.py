"""What learns at which rate: by name, by depth in the encoder, and what is refused."""

from dataclasses import replace

import pytest
import torch

from sam2_video.config import TrainerConfig
from sam2_video.configuration import ConfigurationError, load_config
from sam2_video.training.messages import describe_groups
from sam2_video.training.optimiser import build_optimiser, follow_settings
from sam2_video.training.parameter_groups import group_parameters
from tests.model.micro import micro_model

SETTINGS = TrainerConfig(lr=1e-3, weight_decay=0.1)


@pytest.fixture(scope="module")
def network():
    return micro_model(["all"]).network


def rates(network, **changes):
    """Return the rate and decay of each parameter that learns."""
    groups = group_parameters(network.named_parameters(), replace(SETTINGS, **changes))
    found = {}
    for group in groups:
        for name in group.parameters:
            assert name not in found
            found[name] = group.rate, group.decay
    assert found.keys() == {name for name, p in network.named_parameters() if p.requires_grad}
    return found


def test_without_names_there_are_two_groups_and_adamw_does_what_it_always_did(network):
    optimiser, schedule = build_optimiser(network.named_parameters(), SETTINGS, 10)
    parameters = list(network.parameters())
    kept = [p.detach().clone() for p in parameters]
    twins = [p.detach().clone().requires_grad_() for p in parameters]
    by_hand = torch.optim.AdamW(
        [
            {"params": [p for p in twins if p.ndim > 1], "weight_decay": 0.1},
            {"params": [p for p in twins if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=1e-3,
        fused=True,
    )
    generator = torch.Generator().manual_seed(0)
    for step in range(3):
        for group in by_hand.param_groups:
            group["lr"] = 1e-3 * schedule.lr_lambdas[0](step)
        for parameter, twin in zip(parameters, twins, strict=True):
            parameter.grad = torch.randn(parameter.shape, generator=generator)
            twin.grad = parameter.grad.clone()
        optimiser.step()
        schedule.step()
        by_hand.step()
    assert all(torch.equal(p, twin) for p, twin in zip(parameters, twins, strict=True))
    with torch.no_grad():
        for parameter, before in zip(parameters, kept, strict=True):
            parameter.copy_(before)
            parameter.grad = None


def test_the_last_name_that_matches_counts_in_either_worlds_spelling(network):
    by_name = {"memory": 2e-4, "sam_mask_decoder": 5e-5, "memory_attention.layers.1": 7e-5}
    found = rates(network, lr_by_name=by_name)
    for name, (rate, _) in found.items():
        if name.startswith("memory_attention.layers.1."):
            assert rate == 7e-5, name
        elif name.startswith("mask_decoder."):
            assert rate == 5e-5, name
        elif name.startswith(("vision_encoder.", "prompt_encoder.", "shared_image")):
            assert rate == 1e-3, name
        else:
            assert rate == 2e-4, name


def test_a_decay_by_name_leaves_vectors_alone(network):
    found = rates(network, weight_decay_by_name={"all": 0.3, "memory": 0.0})
    for name, parameter in network.named_parameters():
        is_memory = not name.startswith(("vision_", "prompt_", "mask_decoder.", "shared_image"))
        expected = 0.0 if parameter.ndim <= 1 or is_memory else 0.3
        assert found[name][1] == expected, name


def test_a_name_that_a_later_one_covers_is_refused(network):
    with pytest.raises(ValueError, match=r"lr_by_name: all that 'mask_decoder' matches is matched"):
        rates(network, lr_by_name={"mask_decoder": 1e-5, "all": 1e-4})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr_by_name": {"mask_decodr": 1e-5}}, r"trainer\.lr_by_name: .*mean 'mask_decoder'\?"),
        ({"lr_by_name": {"image_encoder": 1e-5}}, r"lr_by_name: .*matches no parameter that le"),
        ({"weight_decay_by_name": {"*.bias": 0.1}}, r"decay_by_name: '\*\.bias' .*no bias, no no"),
        ({"layer_decay": 0.9}, r"layer_decay: got 0\.9, and nothing of the image encoder's trunk"),
    ],
)
def test_what_would_change_nothing_is_refused(changes, message):
    network = micro_model(["memory", "mask_decoder"]).network
    with pytest.raises(ValueError, match=message):
        rates(network, **changes)


def test_the_layers_of_the_encoder_learn_slower_the_deeper_they_lie_as_in_metas_recipe(network):
    by_name = {"image_encoder": 2e-4}
    found = rates(network, lr_by_name=by_name, layer_decay=0.9)
    trunk = "vision_encoder.backbone."
    num_blocks = len(network.vision_encoder.backbone.blocks)
    assert num_blocks > 2
    for name, (rate, _) in found.items():
        if name.startswith(f"{trunk}patch_embed."):
            expected = 2e-4 * 0.9 ** (num_blocks + 1)
        elif name.startswith(f"{trunk}blocks."):
            block = int(name.split("blocks.")[1].split(".")[0])
            expected = 2e-4 * 0.9 ** (num_blocks - block)
        elif name.startswith("vision_encoder."):
            # the neck, and position embeddings, which Meta's recipe leaves out
            expected = 2e-4
        else:
            expected = 1e-3
        assert rate == pytest.approx(expected), name
    assert any(f"{trunk}pos_embed" in name for name in found)


def test_layer_decay_alone_goes_down_from_the_main_rate(network):
    found = rates(network, layer_decay=0.5)
    values = {rate for name, (rate, _) in found.items() if "backbone.blocks." in name}
    depth = len(network.vision_encoder.backbone.blocks)
    assert sorted(values) == pytest.approx(sorted(1e-3 * 0.5**k for k in range(1, depth + 1)))


def test_the_schedule_multiplies_every_rate(network):
    settings = replace(SETTINGS, lr_by_name={"memory": 1e-5}, warmup_fraction=0.5)
    optimiser, schedule = build_optimiser(network.named_parameters(), settings, 8)
    for step in range(8):
        factors = {round(g["lr"] / g["initial_lr"], 12) for g in optimiser.param_groups}
        assert factors == {round(schedule.lr_lambdas[0](step), 12)}
        optimiser.step()
        schedule.step()
    assert {group["initial_lr"] for group in optimiser.param_groups} == {1e-3, 1e-5}


def test_moments_stay_with_their_parameters_when_the_groups_change(network):
    optimiser, _ = build_optimiser(network.named_parameters(), SETTINGS, 10)
    for number, parameter in enumerate(network.parameters()):
        parameter.grad = torch.full_like(parameter, 1.0 + number)
    optimiser.step()
    network.zero_grad()
    changed = replace(SETTINGS, lr_by_name={"mask_decoder": 1e-5}, layer_decay=0.9)
    state = follow_settings(optimiser.state_dict(), network.named_parameters(), changed)
    other, _ = build_optimiser(network.named_parameters(), changed, 10)
    other.load_state_dict(state)
    assert len(other.param_groups) > len(optimiser.param_groups)
    for number, parameter in enumerate(network.parameters()):
        moment = other.state[parameter]["exp_avg"]
        torch.testing.assert_close(moment, torch.full_like(moment, 0.1 * (1.0 + number)))
    by_name = {n: g["initial_lr"] for g in other.param_groups for n in g["param_names"]}
    assert by_name["mask_decoder.conv_s0.weight"] == 1e-5


def test_the_log_has_a_line_for_each_rate_and_counts_every_parameter(network, said):
    settings = replace(SETTINGS, lr_by_name={"image_encoder": 2e-4}, layer_decay=0.9)
    groups = group_parameters(network.named_parameters(), settings)
    describe_groups(groups, settings)
    (text,) = said
    lines = text.splitlines()
    assert "layer decay 0.9" in lines[0]
    assert any("image_encoder: rate 0.0" in x and ".. 0.0002, decay 0.1," in x for x in lines)
    assert any("all others: biases, norms: rate 0.001, decay 0," in line for line in lines)
    counted = sum(int(line.split(", ")[-1].split()[0].replace(",", "")) for line in lines[1:])
    assert counted == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"trainer.lr_by_name": {"memory": 0.0}}, r"trainer\.lr_by_name: got .*expected rates > 0"),
        ({"trainer.weight_decay_by_name": {"memory": -1.0}}, r"expected decays >= 0"),
        ({"model.trainable_modules": []}, r"trainable_modules: got \[\]; .*or adapters"),
        ({"trainer.ema_decay": 0.9, "dataset.val_fraction": 0.0}, r"trainer\.ema_decay: got 0\.9"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(values, message):
    with pytest.raises(ConfigurationError, match=message):
        load_config(None, values)


def test_adapters_may_be_all_that_learns():
    config = load_config(None, {"model.trainable_modules": [], "lora.modules": ["mask_decoder"]})
    assert config.model.trainable_modules == []
