"""Low-rank adapters: where they stand, what learns with them, and how they leave again."""

import pytest
import torch
from peft.tuners.lora import LoraLayer
from torch import nn

from sam2_video.model.adapters import find_alpha, is_adapter, linear_layers, merge, plain_name
from sam2_video.model.sam2 import SAM2Model
from sam2_video.model.writing import write_meta
from sam2_video.structures import Prompt
from tests.model.micro import (
    SIZE,
    by_object,
    last_frame_loss,
    mask_prompt,
    micro_model,
    noise,
    point_prompt,
)

OBJECT_CLIP = torch.tensor([0, 0])
# a hypothesis that is never chosen while several are: it has no gradient, adapted or not
SINGLE_MASK = "mask_decoder.output_hypernetworks_mlps.0."


def adapted(*modules: str, trainable: tuple[str, ...] = (), **settings: float) -> SAM2Model:
    """Return a model whose adapters say something: their second matrix is not zero."""
    model = micro_model(["memory"])
    model.add_adapters(modules, rank=4, alpha=6.0, **settings)
    model.set_trainable(trainable)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.network.named_parameters():
            if ".lora_B." in name:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def say(model: SAM2Model, prompt: Prompt | None = None):
    with torch.no_grad():
        return by_object(model(noise(1, 4), OBJECT_CLIP, [prompt or mask_prompt(0, (0, 1))]))


def learning(model: SAM2Model) -> set[str]:
    return {name for name, p in model.network.named_parameters() if p.requires_grad}


def largest_difference(one, other) -> float:
    return max(float((one[key] - other[key]).abs().max()) for key in one)


def relative_difference(one, other) -> float:
    size = max(float(value.abs().max()) for value in one.values())
    return largest_difference(one, other) / size


def test_new_adapters_change_nothing_that_the_model_says():
    model = micro_model(["memory"])
    before = say(model)
    model.add_adapters(["all"])
    assert largest_difference(say(model), before) == 0


def test_what_has_learned_goes_on_learning_beside_new_adapters():
    model = micro_model(["memory_encoder"])
    before = learning(model)
    model.add_adapters(["mask_decoder"])
    found = learning(model)
    assert {name for name in found if not is_adapter(name)} == before
    assert any(name.startswith("mask_decoder.") for name in found - before)


def test_the_first_matrices_follow_from_the_seed_and_from_nothing_else():
    def first_matrix(seed: int) -> torch.Tensor:
        torch.manual_seed(torch.seed())
        model = SAM2Model.load(None, "micro", SIZE)
        state = torch.get_rng_state()
        model.add_adapters(["mask_decoder.conv_s0"], seed=seed)
        assert torch.equal(torch.get_rng_state(), state)
        return model.network.mask_decoder.conv_s0.lora_A["default"].weight.detach()

    assert torch.equal(first_matrix(1), first_matrix(1))
    assert not torch.equal(first_matrix(1), first_matrix(2))


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [
        ("memory_attention", "memory_attention."),
        ("sam_mask_decoder", "mask_decoder."),
        ("image_encoder.trunk.blocks.1", "vision_encoder.backbone.blocks.1."),
        ("memory_encoder", "memory_encoder."),
        ("obj_ptr_proj", "object_pointer_proj."),
    ],
)
def test_adapters_stand_beside_every_linear_layer_of_a_module(pattern, prefix):
    model = micro_model()
    expected = {name for name in linear_layers(model.network) if name.startswith(prefix)}
    model.add_adapters([pattern])
    found = {n for n, module in model.network.named_modules() if isinstance(module, LoraLayer)}
    assert found == expected != set()


def test_a_glob_chooses_layers_and_one_by_one_convolutions_are_linear():
    model = micro_model()
    model.add_adapters(["memory_attention.*.q_proj", "memory_encoder.projection"])
    found = {n for n, module in model.network.named_modules() if isinstance(module, LoraLayer)}
    assert {name.split(".")[-1] for name in found} == {"q_proj", "projection"}
    assert isinstance(model.network.memory_encoder.projection.base_layer, nn.Conv2d)


def test_a_convolution_of_groups_or_of_neighbours_is_not_linear():
    layers = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1, groups=2), nn.Conv2d(4, 4, 3))
    assert linear_layers(layers) == ["0"]


@pytest.mark.parametrize(
    ("pattern", "nearest"), [("memory_atention", "memory_attention"), ("mask_downsample", None)]
)
def test_a_pattern_without_a_linear_layer_is_an_error(pattern, nearest):
    hint = "" if nearest is None else rf".*did you mean '{nearest}'\?"
    message = rf"lora\.modules: '{pattern}' matches no linear layer{hint}"
    with pytest.raises(ValueError, match=message):
        micro_model().add_adapters([pattern])


def test_adapters_learn_in_place_of_their_layers_and_beside_what_is_named():
    model = adapted("memory_attention", trainable=("memory_attention", "no_obj_ptr"))
    names = learning(model)
    assert {name for name in names if is_adapter(name)} == {
        name for name, _ in model.network.named_parameters() if ".lora_" in name
    }
    others = {name for name in names if not is_adapter(name)}
    assert "no_object_pointer" in others
    assert others - {"no_object_pointer"} == {
        name
        for name, _ in model.network.named_parameters()
        if name.startswith("memory_attention.") and "layer_norm" in name
    }


def test_a_layer_that_is_adapted_cannot_be_named_to_learn_itself():
    model = adapted("memory_attention")
    with pytest.raises(ValueError, match="matches no parameter"):
        model.set_trainable(["memory_attention.layers.0.self_attn.q_proj"])


def test_every_adapter_receives_a_gradient_and_nothing_frozen_does():
    model = adapted("all").train()
    prompts = [mask_prompt(0, (0,)), point_prompt(0, (1,))]
    last_frame_loss(model(noise(1, 4), OBJECT_CLIP, prompts)).backward()
    for name, parameter in model.network.named_parameters():
        if is_adapter(name) and not name.startswith(SINGLE_MASK):
            assert parameter.grad is not None, name
            assert parameter.grad.norm() > 1e-9, name
        else:
            assert parameter.grad is None or is_adapter(name), name


def test_an_encoder_with_adapters_keeps_a_graph_and_one_without_runs_without():
    pixels = noise(1, 2)[0]
    assert adapted("image_encoder").train().encode(pixels).embedding.requires_grad
    assert not adapted("memory_attention").train().encode(pixels).embedding.requires_grad


def test_only_what_holds_adapters_is_in_training_mode():
    model = adapted("memory_attention.layers.1", dropout=0.5).train()
    layers = model.network.memory_attention.layers
    assert layers[1].self_attn.q_proj.lora_dropout["default"].training
    assert not any(module.training for module in layers[0].modules())
    assert not any(module.training for module in model.network.mask_decoder.modules())
    model.eval()
    assert not any(module.training for module in model.modules())


def test_dropout_of_adapters_is_active_in_training_alone():
    model = adapted("memory_attention", dropout=0.5)
    assert largest_difference(say(model), say(model)) == 0
    model.train()
    assert largest_difference(say(model), say(model)) > 0


def test_what_is_written_has_the_adapters_in_its_weights_and_says_the_same(tmp_path):
    plain = micro_model(["memory"])
    model = adapted("all").eval()
    assert relative_difference(say(model), say(plain)) > 1e-3
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    write_meta(model.network, tmp_path / "merged.pth")
    names = torch.load(tmp_path / "merged.pth", weights_only=True)["model"]
    assert not any("lora" in name or "base_layer" in name for name in names)
    merged = SAM2Model.load(str(tmp_path / "merged.pth"), image_size=SIZE)
    for prompt in (mask_prompt(0, (0, 1)), point_prompt(0, (0, 1))):
        assert relative_difference(say(model, prompt), say(merged, prompt)) < 1e-5
    # the model that goes on training is as it was
    after = model.network.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_merging_is_what_peft_does():
    model = adapted("memory_attention", "memory_encoder", "image_encoder.neck")
    alpha = find_alpha(model.network)
    assert alpha == 6.0
    merged = merge(model.network.state_dict(), alpha)
    for name, module in model.network.named_modules():
        if isinstance(module, LoraLayer):
            base = module.get_base_layer().weight
            expected = base + module.get_delta_weight("default")
            torch.testing.assert_close(merged[f"{name}.weight"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("change", ["lost", "rank", "layer"])
def test_an_adapter_that_is_not_whole_is_refused(change):
    state = adapted("mask_decoder.conv_s0").network.state_dict()
    up = "mask_decoder.conv_s0.lora_B.default.weight"
    if change == "lost":
        del state[up]
    elif change == "rank":
        state[up] = state[up][:, :2]
    else:
        state[up] = state[up][:3]
    with pytest.raises(ValueError, match=r"adapter of mask_decoder\.conv_s0 is not whole"):
        merge(state, 1.0)


def test_plain_names_are_those_of_the_network_without_adapters():
    plain = {name for name, _ in micro_model().network.named_parameters()}
    network = adapted("all").network
    names = {plain_name(n) for n, _ in network.named_parameters() if not is_adapter(n)}
    assert names == plain
